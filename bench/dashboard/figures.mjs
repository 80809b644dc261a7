// What a performance trace of Chromium says of a page's main thread, and what a drawn ramp says of its lateness. No browser: events in,
// figures out.

export const CATEGORIES = ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'];
const LONG_US = 50_000;
const TASKS = new Set(['ThreadControllerImpl::RunTask', 'RunTask']);

const isInside = (task, outer) => task.ts >= outer.ts && task.ts + task.dur <= outer.ts + outer.dur;

// Tasks that lie in no other one: the two names stand for the same task in different categories.
const outermost = (tasks) => {
  const found = [];
  for (const task of tasks.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    if (found.length === 0 || !isInside(task, found.at(-1))) found.push(task);
  }
  return found;
};

/** Shares in percent of the time from the first event of that thread to the last. `cpu` leaves out when another program had the core. */
export const mainThread = (events) => {
  const mains = events.filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain');
  const threads = mains.map(({ pid, tid }) => {
    const all = events.filter((event) => event.pid === pid && event.tid === tid && event.ph === 'X' && event.dur !== undefined);
    return { all, tasks: outermost(all.filter(({ name }) => TASKS.has(name))) };
  });
  const busy = ({ tasks }) => tasks.reduce((sum, { dur }) => sum + dur, 0);
  // A spare renderer has a main thread, too.
  const { all, tasks } = threads.toSorted((a, b) => busy(b) - busy(a))[0] ?? { all: [], tasks: [] };
  if (tasks.length < 2) throw Error('the trace has no tasks of a page');
  const end = tasks.at(-1);
  const spanUs = end.ts + end.dur - tasks[0].ts;
  const frames = all.filter(({ name }) => name === 'FireAnimationFrame').map(({ ts }) => ts).toSorted((a, b) => a - b);
  const gaps = frames.slice(1).map((ts, at) => ts - frames[at]);
  const cpuUs = tasks.reduce((sum, { tdur, dur }) => sum + (tdur ?? dur), 0);
  const long = tasks.filter(({ dur }) => dur > LONG_US);
  return {
    seconds: spanUs / 1e6,
    wall: (100 * busy({ tasks })) / spanUs,
    cpu: (100 * cpuUs) / spanUs,
    framesPerS: frames.length / (spanUs / 1e6),
    frameGapMs: gaps.length === 0 ? null : Math.max(...gaps) / 1e3,
    long: long.length,
    longOfCpu: long.filter(({ tdur, dur }) => (tdur ?? dur) > LONG_US).length,
    longestMs: Math.max(...tasks.map(({ dur }) => dur)) / 1e3,
    parts: parts(all, spanUs),
  };
};

// Where the time of the thread goes, each part without what lies in it: percent of a core, the largest first.
const parts = (all, spanUs) => {
  const own = new Map();
  const open = [];
  const cpu = ({ tdur, dur }) => tdur ?? dur;
  for (const event of all.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    while (open.length > 0 && !isInside(event, open.at(-1))) open.pop();
    const outer = open.at(-1);
    if (outer) own.set(outer.name, (own.get(outer.name) ?? 0) - cpu(event));
    own.set(event.name, (own.get(event.name) ?? 0) + cpu(event));
    open.push(event);
  }
  const shares = [...own].map(([name, us]) => [name, (100 * us) / spanUs]);
  return Object.fromEntries(shares.toSorted(([, a], [, b]) => b - a).slice(0, 12));
};

/** The value below which this share of the numbers lies; null of none. */
export const percentile = (numbers, share) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
};

/** How late pictures are, in milliseconds: of each when it was drawn, and how high its line ends. The line is a ramp that begins anew at
 *  `originMs` and each `rampMs`. */
export const latencies = (tips, originMs, rampMs) => {
  const heights = tips.map(([, tip]) => tip);
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const found = [];
  tips.forEach(([atMs, tip], at) => {
    const earlier = tips[at - 1];
    // Where it falls back to the bottom a height stands for two times.
    if (!earlier || tip <= earlier[1]) return;
    const measuredMs = ((tip - low) / (high - low)) * rampMs;
    found.push((((atMs - originMs - measuredMs) % rampMs) + rampMs) % rampMs);
  });
  return found;
};
