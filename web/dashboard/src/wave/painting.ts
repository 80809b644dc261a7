// One loop of frames for all waves of the page; only those that are seen are drawn.

export interface Painter {
  paint(nowMs: number): void;
}

/** At least so many milliseconds from picture to picture: 30 a second and a little more. */
const FRAME_MS_MIN = 25;

const seen = new Map<Element, Painter>();
let isRunning = false;
let paintedMs = 0;

const frame = (nowMs: number) => {
  if (seen.size === 0) {
    isRunning = false;
    return;
  }
  requestAnimationFrame(frame);
  if (nowMs - paintedMs < FRAME_MS_MIN) return;
  paintedMs = nowMs;
  for (const painter of seen.values()) painter.paint(nowMs);
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
