// One loop of frames for all waves of the page; only those that are seen are drawn.

export interface Painter {
  paint(nowMs: number): void;
}

/** So many milliseconds after a picture the next frame is asked for: each second one of a screen with 60 a second. A frame that is asked
 *  for and not drawn costs nearly as much as one that is. */
const PAUSE_MS = 25;

const seen = new Map<Element, Painter>();
let isRunning = false;

const frame = (nowMs: number) => {
  for (const painter of seen.values()) painter.paint(nowMs);
  if (seen.size > 0) setTimeout(() => requestAnimationFrame(frame), PAUSE_MS);
  else isRunning = false;
};

/** Draws this element while it is seen. Gives what ends it. */
export const paintWhileSeen = (element: Element, painter: Painter, onSeen?: (isSeen: boolean) => void): (() => void) => {
  const show = (isSeen: boolean) => {
    if (isSeen) seen.set(element, painter);
    else seen.delete(element);
    onSeen?.(isSeen);
    if (!isSeen || isRunning) return;
    isRunning = true;
    requestAnimationFrame(frame);
  };
  const observer = new IntersectionObserver((entries) => {
    const last = entries.at(-1);
    if (last) show(last.isIntersecting);
  });
  observer.observe(element);
  return () => {
    observer.disconnect();
    show(false);
  };
};
