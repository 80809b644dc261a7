//! What happens when a user is removed or changed: its live connections end, and what its stored sessions may no longer
//! have is taken out of them. Runs at every new version of the directory, and at the start for what changed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};
use vitalwire_registry::Directory;

use crate::engine::{Engine, trim};

/// How long sessions wait for their connections to end before they are trimmed all the same.
const LEAVING_MAX: Duration = Duration::from_millis(500);

/// Follows the directory until the engine stops.
pub(crate) async fn follow(mut users: watch::Receiver<Arc<Directory>>, engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            changed = users.changed() => if changed.is_err() {
                // The registry is gone: no one can change any more.
                return;
            },
        }
        let directory = Arc::clone(&users.borrow_and_update());
        let cut = engine.connections.cut_outdated(&directory);
        // A first pass at once, so that nothing more is delivered or kept; a second one when the connections are gone, for
        // what they asked for at the end.
        let mut trimmed = trim(&mut engine.core.lock(), &directory);
        if cut > 0 {
            info!(connections = cut, "users were removed or changed: their MQTT connections are closed");
            if tokio::time::timeout(LEAVING_MAX, engine.connections.cut_ones_left()).await.is_err() {
                warn!("MQTT connections of changed users are slow to end");
            }
            trimmed += trim(&mut engine.core.lock(), &directory);
        }
        if trimmed > 0 {
            info!(
                sessions = trimmed,
                "what users may no longer have is taken out of their stored MQTT sessions"
            );
        }
    }
}
