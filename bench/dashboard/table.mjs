// Figures as a table, with their goals beside them. It never judges: a reader compares.

// Three significant digits.
const short = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return '—';
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
};

const of = (found, pick) => (found ? short(pick(found)) : '—');

const pageRows = ({ ours, peers }, { patients, heapMs }) => {
  const row = (name, goal, pick) => [name, short(pick(ours)), of(peers?.page, pick), of(peers?.chart, pick), goal];
  const heaps = ours.heapMb;
  const ratio = (peer) => (peer ? short(peer.cpu / ours.cpu) : '—');
  return [
    row(`${patients} × 250 Hz: main thread, % of a core`, '≤ 15', ({ cpu }) => cpu),
    ['the same, as a multiple of ours', '1', ratio(peers?.page), ratio(peers?.chart), '≥ 5'],
    row('the same by the clock, with what other programs took', '', ({ wall }) => wall),
    row('frames a second', '≥ 30', ({ framesPerS }) => framesPerS),
    row('longest time between two frames, ms', '', ({ frameGapMs }) => frameGapMs),
    row('long tasks, over 50 ms', '0', ({ long }) => long),
    row('of these without what other programs took', '0', ({ longOfCpu }) => longOfCpu),
    row('longest task, ms', '≤ 50', ({ longestMs }) => longestMs),
    [`heap, MB, at the begin and after ${short(heapMs / 60_000)} min`, `${short(heaps[0])}, ${short(heaps.at(-1))}`, '—', '—', 'flat'],
    ['the same, most', short(Math.max(...heaps)), '—', '—', ''],
    ['main thread at the end, % of a core', short(ours.later.cpu), '—', '—', '≤ 15'],
  ];
};

const loadRows = ({ near, slow, bytes }) => [
  ['first load, KB transferred', short(bytes / 1e3), '—', '—', '< 200'],
  ['interactive on loopback, ms', short(near.interactiveMs), '—', '—', '< 1000'],
  ['first wave drawn there, ms', short(near.waveMs), '—', '—', ''],
  ['interactive over 1.6 Mbit/s and 150 ms, ms', short(slow.interactiveMs), '—', '—', '< 3000'],
  ['first wave drawn there, ms', short(slow.waveMs), '—', '—', ''],
];

const viewersRows = (it) => [
  [`server with ${it.viewers} viewers, % of a core`, short(it.share), '—', '—', '< 25'],
  ['the same without them', short(it.alone), '—', '—', ''],
  ['memory a viewer, KiB', short(it.memoryKib), '—', '—', '< 1024'],
  [`memory a viewer while ${it.stopped} stop reading, KiB`, short(it.memoryStalledKib), '—', '—', '< 1024'],
  ['KB a second to each', short(it.bytesPerS / 1e3), '—', '—', ''],
  ['a piece of a wave later than the earliest of its device, p50 / p99, ms', `${short(it.usual.waveP50)} / ${short(it.usual.waveP99)}`, '—', '—', ''],
  [`the same of the others while ${it.stopped} stop reading`, `${short(it.stalled.waveP50)} / ${short(it.stalled.waveP99)}`, '—', '—', 'no more'],
  ['waves dropped of the others; others that were closed', `${it.dropped}; ${it.over}`, '—', '—', '0; 0'],
];

const pictureRows = ({ p50, p95, max, tooLargeMs }) => [
  [`sensor to picture beyond the batch of 1 s, p50, ms (at most ${short(tooLargeMs)} too large)`, short(p50 - 1_000), '—', '—', ''],
  ['the same, p95', short(p95 - 1_000), '—', '—', '≤ 150'],
  ['the same, most', short(max - 1_000), '—', '—', ''],
];

const crowdRows = ({ top, middle, heapMb }, { crowd }) => [
  [`${crowd} tiles at 20 Hz: main thread, % of a core, at the top / in the middle`, `${short(top.cpu)} / ${short(middle.cpu)}`, '—', '—', ''],
  ['tiles seen, waves drawn, at the top', `${top.seen}, ${top.drawn}`, '—', '—', 'alike'],
  ['the same in the middle', `${middle.seen}, ${middle.drawn}`, '—', '—', 'alike'],
  ['frames a second', short(middle.framesPerS), '—', '—', '≥ 30'],
  ['longest task, ms', short(Math.max(top.longestMs, middle.longestMs)), '—', '—', '≤ 50'],
  ['heap, MB', short(heapMb), '—', '—', ''],
];

const ROWS = { page: pageRows, load: loadRows, viewers: viewersRows, picture: pictureRows, crowd: crowdRows };

/** A row a figure, of the parts that were measured; after each part the load of the machine before and after it. */
export const rows = (found, scale) =>
  Object.entries(found).flatMap(([part, figures]) => [
    ...ROWS[part](figures, scale),
    [`load average before and after (${part})`, figures.load.join(', '), '—', '—', ''],
  ]);

export const table = (all) =>
  [['measured', 'Vitalwire', 'Node-RED, page of deploy/nodered', 'Node-RED, ui-chart', 'goal'], ['---', '---:', '---:', '---:', '---'], ...all]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
