// A program of this repository, for the tests to run.
import { execFileSync } from 'node:child_process';

// Its file: named in this variable of the environment, or built by cargo with these arguments.
export const program = (variable, ...target) => {
  if (process.env[variable]) return process.env[variable];
  const build = ['build', '--quiet', '--locked', ...target, '--message-format', 'json'];
  const lines = execFileSync('cargo', build, { encoding: 'utf8', maxBuffer: 1 << 26 });
  const built = lines.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return built.findLast((message) => message.executable).executable;
};
