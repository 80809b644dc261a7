// Whether a boot's account adds up. Pure.
import type { Boot } from '../../live/admin.ts';

/** Sent = acknowledged = stored. */
export const isSettled = ({ sent, acknowledged, stored }: Boot): boolean => sent === acknowledged && sent === stored;
