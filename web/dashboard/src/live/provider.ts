// A provider at which people sign in instead, and come back from with an answer in the address.
import type { Answer } from './api.ts';

const KEY = 'vitalwire.place';

/** What a browser came back with; null when it did not. Without an `answer` the provider, or who was there, said no. */
export const answerOf = (search: string): { answer: Answer | null } | null => {
  const query = new URLSearchParams(search);
  const [code, state, iss] = [query.get('code'), query.get('state'), query.get('iss')];
  if (state === null || (code === null && !query.has('error'))) return null;
  return { answer: code === null ? null : { code, state, ...(iss === null ? {} : { iss }) } };
};

/** Remembers what the page was asked to show: the provider sends people back to its bare address. */
export const keepPlace = () => {
  try {
    sessionStorage.setItem(KEY, location.search + location.hash);
  } catch {
    // A browser that keeps nothing shows the ward.
  }
};

/** That, once. */
export const takePlace = (): string => {
  try {
    const place = sessionStorage.getItem(KEY) ?? '';
    sessionStorage.removeItem(KEY);
    return place;
  } catch {
    return '';
  }
};
