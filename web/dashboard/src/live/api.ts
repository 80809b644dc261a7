// Requests to the server (PROTOCOL.md §6.2).
import { type KeptWave, decodeKept } from '../wave/kept.ts';

export interface Session {
  user: string;
  role: string;
  can: string[];
}

/** What a provider sends people back with. */
export interface Answer {
  code: string;
  state: string;
  iss?: string;
}

/** A column each, of the stretches that have samples. `gap`: 1 before it, 2 within it, 3 both. */
export interface History {
  unit: string | null;
  time: number[];
  min: number[];
  max: number[];
  mean: number[];
  gap: number[];
  /** Stretches without samples, with why; missing from servers of an earlier version. */
  gaps?: { from: number; to: number; cause: string }[];
}

/** The server said no; its words are for people. `status` 0: it did not answer. */
export class Refusal extends Error {
  status: number;

  constructor(status: number, words: string) {
    super(words);
    this.status = status;
  }
}

const TIMEOUT_MS = 10_000;

const send = async (method: string, path: string, body?: unknown, timeoutMs = TIMEOUT_MS): Promise<Response> => {
  let answer: Response;
  try {
    answer = await fetch(`api/v1/${path}`, {
      method,
      signal: AbortSignal.timeout(timeoutMs),
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
  } catch {
    throw new Refusal(0, '');
  }
  if (answer.ok) return answer;
  throw new Refusal(answer.status, words(await answer.text().catch(() => '')));
};

/** Asks the server; the JSON of its answer, null when it says nothing. */
export const request = async (
  method: string,
  path: string,
  body?: unknown,
  timeoutMs = TIMEOUT_MS,
): Promise<unknown> => {
  const answer = await send(method, path, body, timeoutMs);
  const text = await answer.text().catch(() => '');
  return text === '' ? null : JSON.parse(text);
};

/** The same where the answer is a file. */
export const requestFile = async (method: string, path: string, body?: unknown): Promise<Blob> =>
  (await send(method, path, body)).blob();

const words = (text: string): string => {
  try {
    return String((JSON.parse(text) as { error?: unknown }).error ?? '');
  } catch {
    return '';
  }
};

export const api = {
  /** Who is logged in; null when no one is. */
  async session(): Promise<Session | null> {
    try {
      return (await request('GET', 'session')) as Session;
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) return null;
      throw error;
    }
  },
  login: (how: { user: string; password: string } | { link: string } | Answer) =>
    request('POST', 'session', how) as Promise<Session>,
  /** What people call the provider at which they may sign in instead; null when there is none. */
  provider: async (): Promise<string | null> =>
    ((await request('GET', 'session/ways')) as { provider: string | null }).provider,
  /** Begins a login there: the address to go to. */
  begin: async (): Promise<string> => ((await request('POST', 'session/provider')) as { address: string }).address,
  logout: () => request('DELETE', 'session'),
  history: (device: string, channel: string, fromMs: number, toMs: number, points: number) => {
    const query = new URLSearchParams({
      channel,
      from: String(Math.floor(fromMs)),
      to: String(Math.floor(toMs)),
      points: String(points),
    });
    return request('GET', `devices/${encodeURIComponent(device)}/history?${query}`) as Promise<History>;
  },
  waves: async (device: string, channel: string, fromMs: number, toMs: number): Promise<KeptWave> => {
    const query = new URLSearchParams({ channel, from: String(Math.floor(fromMs)), to: String(Math.floor(toMs)) });
    const answer = await send('GET', `devices/${encodeURIComponent(device)}/waves?${query}`);
    return decodeKept(await answer.arrayBuffer());
  },
  acknowledge: (device: string, number: number | null, reason: string) =>
    request('POST', 'alarms/ack', {
      device,
      ...(number === null ? {} : { number }),
      ...(reason === '' ? {} : { reason }),
    }),
  pause: (device: string, seconds: number) => request('POST', 'alarms/pause', { device, seconds }),
};
