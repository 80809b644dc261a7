// What admins ask of the server (PROTOCOL.md §6.6). Times are milliseconds since 1970.
import { request, requestFile } from './api.ts';

export interface Connection {
  since: number;
  peer: string;
  local: string | null;
  profile: string;
  firmware: string | null;
}

export interface Enrolled {
  id: string;
  protocol: 'tls' | 'aes-cbc';
  generation: number;
  enrolled: number;
  key_set: number;
  identity: string | null;
  old_key_until: number | null;
  connection: Connection | null;
  last: number | null;
  assurance: string | null;
}

export interface Boot {
  boot: string;
  sent: number;
  acknowledged: number;
  stored: number;
  open: number;
  given_up: number;
}

export interface Gap {
  boot: string;
  first: number;
  last: number;
  missing: number;
  noticed: number;
  state: 'open' | 'given-up' | 'folded' | 'filled';
  filled: number | null;
}

export interface DeviceEvent {
  time: number;
  kind: string;
  detail: string;
  peer: string;
}

export interface Erasure {
  requested: number;
  done: number | null;
  entries: number | null;
  proof: string | null;
}

export interface DeviceDetail {
  device: Enrolled | null;
  erasure: Erasure | null;
  boots: Boot[];
  gaps: Gap[];
  events: DeviceEvent[];
}

export interface DeviceKeys {
  id: string;
  protocol: 'tls' | 'aes-cbc';
  identity: string | null;
  psk: string | null;
  key_line: string | null;
  old_key_until: number | null;
}

export interface Label {
  svg: string;
  page: string | null;
  setup_key: string | null;
  network: string | null;
  password: string | null;
}

export interface Stay {
  stay: number;
  device: string;
  started: number;
  ended: number | null;
  name: string | null;
  bed: string | null;
  notes: string | null;
  broken: boolean;
  devices: string[];
}

export interface PatientChange {
  name?: string;
  bed?: string;
  notes?: string;
  new?: boolean;
  correct?: boolean;
}

export interface User {
  name: string;
  role: string;
  devices: string[] | null;
}

/** How someone logs in first. */
export type FirstLogin = 'generated' | 'link' | { password: string };

export interface Way {
  password: string | null;
  link: string | null;
  until: number | null;
}

export interface AuditRecord {
  sequence: number;
  time: number;
  kind: string;
  subject: string;
  actor: string;
  detail: string;
}

export interface AuditQuery {
  before?: number;
  limit: number;
  kind?: string;
  words?: string;
  from?: number | undefined;
  to?: number | undefined;
}

export interface Verified {
  sound: boolean;
  records: number;
  head: string;
  expected_at: number | null;
  fault: string | null;
}

const of = (kind: string, name: string, what = ''): string => `admin/${kind}/${encodeURIComponent(name)}${what}`;

const query = (fields: object): string =>
  new URLSearchParams(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined && value !== '')
      .map(([name, value]) => [name, String(value)]),
  ).toString();

export const admin = {
  devices: () => request('GET', 'admin/devices') as Promise<{ devices: Enrolled[] }>,
  device: (id: string) => request('GET', of('devices', id)) as Promise<DeviceDetail>,
  enrol: (id: string, protocol: string) => request('POST', 'admin/devices', { id, protocol }) as Promise<DeviceKeys>,
  rotate: (id: string, overlapS: number) =>
    request('POST', of('devices', id, '/rotate'), { overlap_s: overlapS }) as Promise<DeviceKeys>,
  label: (id: string, kind: 'key' | 'setup', wpa2: boolean) =>
    request('POST', of('devices', id, '/label'), { kind, wpa2 }) as Promise<Label>,
  identity: (id: string, form: 'uf2' | 'bin', wpa2: boolean) =>
    requestFile('POST', of('devices', id, '/identity'), { form, wpa2 }),
  revoke: (id: string) => request('POST', of('devices', id, '/revoke'), {}),
  erase: (id: string, name: string) => request('POST', of('devices', id, '/erase'), { name }) as Promise<Erasure>,

  stays: () => request('GET', 'admin/patients') as Promise<{ stays: Stay[] }>,
  staysOf: (device: string) => request('GET', of('patients', device)) as Promise<{ stays: Stay[] }>,
  setPatient: (device: string, change: PatientChange) => request('POST', of('patients', device), change),
  move: (device: string, to: string) => request('POST', of('patients', device, '/move'), { to }),
  discharge: (device: string) => request('POST', of('patients', device, '/discharge'), {}),

  users: () => request('GET', 'admin/users') as Promise<{ users: User[] }>,
  addUser: (user: User, first: FirstLogin) =>
    request('POST', 'admin/users', {
      name: user.name,
      role: user.role,
      ...(user.devices === null ? {} : { devices: user.devices }),
      first,
    }) as Promise<Way>,
  setRights: ({ name, role, devices }: User) =>
    request('POST', of('users', name), { role, ...(devices === null ? {} : { devices }) }),
  logInAnew: (name: string, first: FirstLogin) => request('POST', of('users', name, '/login'), { first }) as Promise<Way>,
  removeUser: (name: string) => request('DELETE', of('users', name)),

  audit: (asked: AuditQuery) =>
    request('GET', `admin/audit?${query(asked)}`) as Promise<{ records: AuditRecord[]; next: number | null }>,
  verifyAudit: (head: string) => request('POST', 'admin/audit/verify', head === '' ? {} : { head }) as Promise<Verified>,
};
