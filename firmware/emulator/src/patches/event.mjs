// SEV registers an event, so that the next WFE does not sleep (ARMv6-M ARM, B1.5.18). rp2040js only logs it, and a program
// that wakes itself from thread mode sleeps for ever. Its log is where SEV can be seen.

export function patchEvents(rp, log) {
  const registerEvent = (message) => {
    if (message === 'SEV') rp.core.eventRegistered = true;
  };
  rp.logger = {
    debug() {},
    info: (_source, message) => registerEvent(message),
    warn: (source, message) => log(`${source}: ${message}`),
    error: (source, message) => log(`${source}: ${message}`),
  };
}
