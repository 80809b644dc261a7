// Pictures of views compared with those that are kept in `layout/`: made small and grey first, so that what counts is where things are
// and how large, and not the shape of a letter.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'layout');
/** Each cell of the small picture is so many pixels wide and high. */
const CELL_PX = 8;
/** From 0 to 255. A cell that differs by more is another one. */
const GREY_MAX = 40;
/** So many of a hundred cells may be others. */
const PERCENT_MAX = 4;

// In a blank page: decodes a PNG, and makes it small and grey.
const shrink = async ([base64, cell]) => {
  const bytes = Uint8Array.from(atob(base64), (it) => it.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const [width, height] = [Math.round(image.width / cell), Math.round(image.height / cell)];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, width, height);
  const picture = context.getImageData(0, 0, width, height);
  const grey = [];
  for (let at = 0; at < picture.data.length; at += 4) {
    const [red, green, blue] = picture.data.slice(at, at + 3);
    grey.push(Math.round(0.3 * red + 0.59 * green + 0.11 * blue));
    picture.data.fill(grey.at(-1), at, at + 3);
  }
  context.putImageData(picture, 0, 0);
  const small = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
  return { width, height, grey, small: btoa(String.fromCharCode(...small)) };
};

/** How many of a hundred cells of two small pictures differ; all when they are not of one size. */
export const difference = (one, other) => {
  if (one.width !== other.width || one.height !== other.height) return 100;
  const others = one.grey.filter((it, at) => Math.abs(it - other.grey[at]) > GREY_MAX);
  return (100 * others.length) / one.grey.length;
};

/**
 * What is wrong with the layout of a page, as a text; empty when it is as it was. What moves by itself (waves, trends, the time) is painted
 * over. With VITALWIRE_LAYOUT=new the picture is kept as it is now.
 */
export const layoutFault = async (page, blank, name) => {
  const moving = ['canvas', 'time', '.u-legend', '.announcement'].map((it) => page.locator(it));
  const picture = await page.screenshot({ animations: 'disabled', caret: 'hide', mask: moving, maskColor: '#808080' });
  const now = await blank.evaluate(shrink, [picture.toString('base64'), CELL_PX]);
  const path = join(folder, `${name}.png`);
  if (process.env.VITALWIRE_LAYOUT === 'new') {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, Buffer.from(now.small, 'base64'));
    return '';
  }
  if (!existsSync(path)) return `${path} is not there: make it with VITALWIRE_LAYOUT=new, and look at it`;
  const before = await blank.evaluate(shrink, [readFileSync(path).toString('base64'), 1]);
  const percent = difference(now, before);
  if (percent <= PERCENT_MAX) return '';
  const shown = join(process.env.VITALWIRE_SCREENSHOTS ?? '/tmp', `layout-${name}.png`);
  writeFileSync(shown, picture);
  return `${name}: ${percent.toFixed(1)} % of the picture are elsewhere, at most ${PERCENT_MAX}; it is ${shown} now. If that is as it should be: VITALWIRE_LAYOUT=new`;
};
