// Views that are loaded when they are opened first, so that the ward is there sooner. A view is built when it stands here; each gets
// `LazyProps`.
import type { Component } from 'svelte';
import type { Session } from '../live/api.ts';
import type { Patient } from '../live/patient.svelte.ts';
import type { Ward } from '../live/ward.svelte.ts';
import type { Route, View } from '../route.ts';

export interface LazyProps {
  ward: Ward;
  session: Session;
  route: Route;
  /** Whose it is, of a patient's views. */
  patient: Patient | null;
}

interface Lazy {
  /** The right (`can` of the session) that it takes; nothing: everyone may open it. */
  right?: string;
  load: () => Promise<{ default: Component<LazyProps> }>;
}

export const LAZY: Partial<Record<View, Lazy>> = {
  waves: { load: () => import('./Disclosure.svelte') },
  alarms: { load: () => import('./AlarmHistory.svelte') },
  alarm: { load: () => import('./AlarmStrip.svelte') },
  limits: { load: () => import('./LimitsView.svelte') },
  patients: { right: 'patients', load: () => import('./admin/Patients.svelte') },
  devices: { right: 'devices', load: () => import('./admin/Devices.svelte') },
  device: { right: 'devices', load: () => import('./admin/Device.svelte') },
  users: { right: 'users', load: () => import('./admin/Users.svelte') },
  audit: { right: 'audit', load: () => import('./admin/Audit.svelte') },
};

/** The views of the menu, in its order. */
export const MENU = ['alarms', 'patients', 'devices', 'users', 'audit'] as const;

/** Whether someone with these rights may open it. */
export const mayOpen = (view: View, can: string[]): boolean => {
  if (view === 'ward' || view === 'patient') return true;
  const lazy = LAZY[view];
  return lazy !== undefined && (lazy.right === undefined || can.includes(lazy.right));
};
