// A wave's history as a view needs it: what is there, why nothing is, and that more came.
import { api } from '../live/api.ts';
import type { Channel } from '../live/messages.ts';
import type { Patient } from '../live/patient.svelte.ts';
import { GapStore, WaveStore } from '../wave/store.ts';

/** Stretches in which gaps are looked for. */
const POINTS = 1_800;

export class Kept {
  /** Changes when more is there. */
  version = $state(0);
  error: string | null = $state(null);
  readonly store: WaveStore;
  readonly causes: GapStore;

  constructor(device: string, channel: string, chunkMs: number) {
    const load = (fromMs: number, toMs: number) => api.waves(device, channel, fromMs, toMs);
    this.store = new WaveStore(load, chunkMs, (error) => {
      this.error = error;
      this.version++;
    });
    const why = async (fromMs: number, toMs: number) => {
      const { gaps } = await api.history(device, channel, Math.max(0, fromMs), toMs, POINTS);
      return (gaps ?? []).map(({ from, to, cause }) => ({ fromMs: from, toMs: to, cause }));
    };
    this.causes = new GapStore(why, () => this.version++);
  }
}

/** Of the present stay: with another one the page has another patient. */
const kept = new WeakMap<Patient, Map<string, Kept>>();

export const keptOf = (patient: Patient, channel: Channel, chunkMs: number): Kept => {
  const ofPatient = kept.get(patient) ?? new Map<string, Kept>();
  kept.set(patient, ofPatient);
  const key = `${channel.name} ${chunkMs}`;
  const found = ofPatient.get(key) ?? new Kept(patient.id, channel.name, chunkMs);
  ofPatient.set(key, found);
  return found;
};
