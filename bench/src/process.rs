//! Processes that the bench starts: each is stopped by its own id, and their CPU and memory are read from `/proc`.
//! Never stops a process that it did not start.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How often a condition is looked at while waiting for it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Clock ticks a second in `/proc/PID/stat`: Linux fixes USER_HZ at 100 for user space on all its usual machines.
const TICKS_PER_SECOND: u64 = 100;

/// Everything started and not yet stopped, so that a signal can stop it too; `None` once it has, and nothing more
/// is started.
static STARTED: Mutex<Option<Vec<Arc<Mutex<Child>>>>> = Mutex::new(Some(Vec::new()));

/// A process of ours; stopped when dropped.
pub(crate) struct Started {
    name: &'static str,
    child: Arc<Mutex<Child>>,
    pid: u32,
}

impl Started {
    /// Starts `command`.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut started = locked(&STARTED);
        let started = started.as_mut().context("the bench is stopping")?;
        let child = command.spawn().with_context(|| format!("cannot start {name} ({command:?})"))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        started.push(child.clone());
        Ok(Self { name, child, pid })
    }

    /// Fails, naming the process, when it has ended.
    pub(crate) fn check_running(&self) -> Result<()> {
        match locked(&self.child).try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&self, at_most: Duration) -> Result<ExitStatus> {
        let status = wait_for(at_most, || Ok(locked(&self.child).try_wait()?))?;
        status.with_context(|| format!("{} did not end within {} s", self.name, at_most.as_secs()))
    }

    /// CPU time so far, in user and kernel mode, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        parse_cpu(&stat).with_context(|| format!("cannot read the CPU time of {}", self.name))
    }

    /// Files and sockets it has open.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    /// Connections at this port that the program which listens there has accepted, and not closed: what still waits for that has
    /// no inode (Linux, proc_pid_net(5)).
    pub(crate) fn connections(&self, port: u16) -> Result<usize> {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.pid))?;
        Ok(count_accepted(&table, port))
    }

    /// Forgets how much memory it had at most: see [`Started::peak_bytes`].
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    /// The most resident memory since [`Started::forget_peak`], in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        parse_kib(&status, "VmHWM:").with_context(|| format!("cannot read the memory of {}", self.name))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        parse_kib(&status, "VmRSS:").with_context(|| format!("cannot read the memory of {}", self.name))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        end(&self.child);
        if let Some(started) = locked(&STARTED).as_mut() {
            started.retain(|child| !Arc::ptr_eq(child, &self.child));
        }
    }
}

/// Stops everything that was started; for the signal handler.
pub(crate) fn stop_all() {
    for child in locked(&STARTED).take().iter().flatten() {
        end(child);
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = locked(child);
    // Both fail only when the process is gone already, which is what we want.
    let _ = child.kill();
    let _ = child.wait();
}

/// Nothing panics while holding these locks with half a change made, so a poisoned one is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that answers a line with a line of JSON, and ends when its standard input does.
pub(crate) struct Talking {
    pub(crate) process: Started,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Talking {
    /// Starts this very program again as `arguments` say, with `secret` in its environment.
    pub(crate) fn spawn(name: &'static str, arguments: &[String], secret: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).env(SECRET_VARIABLE, secret);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Started::spawn(name, &mut command)?;
        let (input, output) = {
            let mut child = locked(&process.child);
            (child.stdin.take(), child.stdout.take())
        };
        let input = input.context("standard input was piped")?;
        let output = BufReader::new(output.context("standard output was piped")?);
        Ok(Self { process, input, output })
    }

    /// Asks for a report.
    pub(crate) fn ask(&mut self) -> Result<Value> {
        self.input.write_all(b"report\n")?;
        self.listen()
    }

    /// Waits for the next line.
    pub(crate) fn listen(&mut self) -> Result<Value> {
        let mut line = String::new();
        let length = self.output.read_line(&mut line)?;
        ensure!(length > 0, "{} ended without an answer; its message is above", self.process.name);
        Ok(serde_json::from_str(&line)?)
    }
}

/// The environment variable that carries a password to a child: arguments would show in the process list.
pub(crate) const SECRET_VARIABLE: &str = "VITALWIRE_BENCH_SECRET";

/// Runs `command` to its end; fails with what it wrote when it fails.
pub(crate) fn run(name: &'static str, command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {name} ({command:?})"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input may have closed it: its exit status decides.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name} failed ({}): {said}{complained}", output.status);
    Ok(said.into_owned())
}

/// Runs `command` for its standard output, whatever its exit status, and stops it at the deadline.
pub(crate) fn output_within(
    name: &'static str,
    command: &mut Command,
    at_most: Duration,
) -> Result<(ExitStatus, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let process = Started::spawn(name, command)?;
    let stdout = locked(&process.child).stdout.take().context("standard output was piped")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        BufReader::new(stdout).read_to_string(&mut text).map(|_| text)
    });
    let status = process.wait(at_most)?;
    let text = reader.join().map_err(|_| anyhow::anyhow!("the reader of {name} panicked"))??;
    Ok((status, text))
}

/// Looks until `found` yields something or the time is over.
pub(crate) fn wait_for<T>(
    at_most: Duration,
    mut found: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(value) = found()? {
            return Ok(Some(value));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A port of the loopback interface that was free a moment ago: for programs that cannot tell which they got.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// `utime` and `stime` of proc_pid_stat(5). The name before them may hold spaces and parentheses.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

fn count_accepted(table: &str, port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let local_end = format!(":{port:04X}");
    let is_accepted = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&local_end))
            && fields.get(3) == Some(&ESTABLISHED)
            && fields.get(9).is_some_and(|inode| *inode != "0")
    };
    table.lines().filter(is_accepted).count()
}

/// `VmRSS` or `VmHWM` of proc_pid_status(5), in bytes.
fn parse_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_of_a_process_with_a_strange_name() {
        let stat = "7 (a) b) R 1 1 1 0 -1 0 9 0 0 0 125 75 0 0 20 0 1 0 5";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(2_000)));
    }

    #[test]
    fn counts_accepted_connections_of_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:270E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:270E 0100017F:8001 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
   2: 0100007F:270E 0100017F:8002 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 0100017F:8001 0100007F:270E 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
   4: 0100007F:270E 0100017F:8003 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n";
        assert_eq!((count_accepted(table, 9_998), count_accepted(table, 80)), (1, 0));
    }

    #[test]
    fn reads_resident_memory_in_bytes() {
        assert_eq!(parse_kib("VmSize:\t 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12 * 1_024));
    }
}
