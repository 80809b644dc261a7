// What a form about a patient asks the server to change. Pure.
import type { PatientChange, Stay } from '../../live/admin.ts';

interface Written {
  name: string;
  bed: string;
  notes: string;
}

/** Only what is other than it was; null when nothing is. For another patient all that is written. */
export const changeOf = (stay: Stay, written: Written, isNew: boolean, correct: boolean): PatientChange | null => {
  const change: PatientChange = {};
  for (const field of ['name', 'bed', 'notes'] as const) {
    const text = written[field].trim();
    if (isNew ? text !== '' : text !== (stay[field] ?? '')) change[field] = text;
  }
  if (isNew) return { ...change, new: true };
  if (Object.keys(change).length === 0) return null;
  return correct ? { ...change, correct: true } : change;
};
