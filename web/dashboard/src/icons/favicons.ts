// The icon of the page's tab, by the most urgent priority that calls.
import type { Priority } from '../live/messages.ts';
import high from './high.svg';
import low from './low.svg';
import medium from './medium.svg';
import none from './none.svg';

const favicons: Record<Priority | 'none', string> = { high, low, medium, none };
export default favicons;
