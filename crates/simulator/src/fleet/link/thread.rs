//! The thread of the devices on the secure link. The TLS client's futures cannot move between threads, so that they all run
//! on one of their own.

use std::io;

use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::LinkDevice;

/// The devices of a fleet, running. Dropped, they end where they are.
pub(in crate::fleet) struct LinkThread {
    thread: std::thread::JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl LinkThread {
    /// Starts every device; each has its seed for the jitter of reconnecting.
    pub(in crate::fleet) fn start(
        devices: Vec<(LinkDevice, u64)>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (mut tell, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("link-devices".to_owned()).spawn(move || {
            let run = async {
                tokio::select! {
                    () = run_all(devices, stop) => {}
                    () = tell.closed() => {}
                }
            };
            LocalSet::new().block_on(&runtime, run);
            // No one may wait any more.
            let _ = tell.send(());
        })?;
        Ok(Self { thread, ended })
    }

    /// Ready when every device has ended.
    pub(in crate::fleet) async fn ended(self) {
        if self.ended.await.is_err()
            && let Err(panic) = self.thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn run_all(devices: Vec<(LinkDevice, u64)>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    for (device, seed) in devices {
        tasks.spawn_local(device.run(stop.clone(), seed));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
