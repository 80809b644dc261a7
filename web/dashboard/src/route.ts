// Which view an address shows. Pure: the part of the address behind `#` in, a view out.

/** Views of all, of one device or its patient, and of one alarm. */
export type OfAll = 'ward' | 'alarms' | 'devices' | 'patients' | 'users' | 'audit';
export type OfOne = 'patient' | 'waves' | 'limits' | 'device';
export type View = OfAll | OfOne | 'alarm';
export type Route = { view: OfAll } | { view: OfOne; id: string } | { view: 'alarm'; number: number };

const WARD: Route = { view: 'ward' };
const OF_ALL: readonly OfAll[] = ['alarms', 'devices', 'patients', 'users', 'audit'];
/** What follows a patient's own address. */
const OF_PATIENT: readonly OfOne[] = ['waves', 'limits'];

// A link may be cut, or made by hand.
const decoded = (text: string): string | null => {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
};

/** What is no address of ours shows the ward. */
export const routeOf = (hash: string): Route => {
  const [empty, first = '', second, third, ...more] = hash.replace(/^#/, '').split('/');
  if (empty !== '' || more.length > 0) return WARD;
  const all = OF_ALL.find((view) => view === first);
  if (all !== undefined) return second === undefined ? { view: all } : WARD;
  if (first === 'alarm') {
    const isNumber = third === undefined && /^[1-9]\d{0,14}$/.test(second ?? '');
    return isNumber ? { view: 'alarm', number: Number(second) } : WARD;
  }
  const id = decoded(second ?? '');
  if (id === null || id === '') return WARD;
  if (first === 'device') return third === undefined ? { view: 'device', id } : WARD;
  if (first !== 'patient') return WARD;
  const view = third === undefined ? 'patient' : OF_PATIENT.find((one) => one === third);
  return view === undefined ? WARD : { view, id };
};

/** The address that shows it. */
export const hashOf = (route: Route): string => {
  if (route.view === 'ward') return '#/';
  if ('number' in route) return `#/alarm/${route.number}`;
  if (!('id' in route)) return `#/${route.view}`;
  const id = encodeURIComponent(route.id);
  if (route.view === 'device' || route.view === 'patient') return `#/${route.view}/${id}`;
  return `#/patient/${id}/${route.view}`;
};

/** Where one goes back to. */
export const parentOf = (route: Route): Route => {
  if (route.view === 'alarm') return { view: 'alarms' };
  if (route.view === 'device') return { view: 'devices' };
  if (route.view === 'waves' || route.view === 'limits') return { view: 'patient', id: route.id };
  return WARD;
};

/** Whose it is, of a patient's views. */
export const patientOf = (route: Route): string | null =>
  'id' in route && route.view !== 'device' ? route.id : null;
