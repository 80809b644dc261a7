//! What happens when a user is removed or changed: its live connections end, and what its stored sessions may no longer
//! have is taken out of them. Runs at every new version of the directory, and at the start for what changed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::storage::{QueuedMessage, StorageBackend};
use tokio::sync::watch;
use tracing::{info, warn};
use vitalwire_access::acl;
use vitalwire_registry::Directory;

use crate::allowed::role;
use crate::engine::Engine;

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
        if cut > 0 {
            info!(connections = cut, "users were removed or changed: their MQTT connections are closed");
        }
        // A first pass at once, so that nothing more is delivered or queued; a second one when the connections are
        // gone, for what they put back into their sessions at the end.
        trim_sessions(&engine, &directory).await;
        if cut > 0 {
            if tokio::time::timeout(LEAVING_MAX, engine.connections.cut_ones_left()).await.is_err() {
                warn!("MQTT connections of changed users are slow to end");
            }
            trim_sessions(&engine, &directory).await;
        }
    }
}

async fn trim_sessions(engine: &Engine, directory: &Directory) {
    for client in engine.memory.session_client_ids().await.unwrap_or_default() {
        let Ok(Some(session)) = engine.memory.get_session(&client).await else { continue };
        match role(directory, &session) {
            None => remove(engine, &client).await,
            Some(role) => {
                let outside = |filter: &str| !acl::may_subscribe(role, filter);
                if end_subscriptions(engine, &client, outside).await {
                    info!(
                        client,
                        "subscriptions that the user may no longer have are taken out of its session"
                    );
                }
                drop_queued(engine, &client, |topic| !acl::may_subscribe(role, topic)).await;
            }
        }
    }
}

async fn remove(engine: &Engine, client: &str) {
    let slot = engine.router.lock_session(client).await;
    if let Err(error) = engine.router.set_client_subscriptions(&slot, None).await {
        warn!(client, %error, "subscriptions of a removed user could not be ended");
    }
    engine.memory.queue_handle(client).clear(None);
    let _ = engine.memory.remove_all_inflight_messages(client).await;
    let _ = engine.memory.remove_session(client).await;
    drop(slot);
    engine.storage.session_changed(client);
    info!(client, "stored MQTT session of a removed user deleted");
}

/// Ends those of a client's subscriptions, live and stored, whose filters are `concerned`. Tells whether there were any.
pub(crate) async fn end_subscriptions(
    engine: &Engine,
    client: &str,
    concerned: impl Fn(&str) -> bool,
) -> bool {
    let slot = engine.router.lock_session(client).await;
    let Ok(Some(mut session)) = engine.memory.get_session(client).await else { return false };
    let before = session.subscriptions.len();
    session.subscriptions.retain(|filter, _| !concerned(filter));
    if session.subscriptions.len() == before {
        return false;
    }
    if let Err(error) = engine.router.set_client_subscriptions(&slot, Some(&session)).await {
        warn!(client, %error, "subscriptions could not be ended");
    }
    let _ = engine.memory.store_session(session).await;
    drop(slot);
    engine.storage.session_changed(client);
    true
}

/// Drops what waits for a client on the topics `concerned`; how many messages. The queue gives all out and takes the rest
/// back.
pub(crate) async fn drop_queued(engine: &Engine, client: &str, concerned: impl Fn(&str) -> bool) -> usize {
    let queue = engine.memory.queue_handle(client);
    let drops = |message: &QueuedMessage| concerned(&message.topic);
    let mut dropped = 0;
    if !queue.is_empty() && queue.peek_all().await.iter().any(drops) {
        let mut messages = queue.take(usize::MAX).await;
        let before = messages.len();
        messages.retain(|message| !drops(message));
        dropped = before - messages.len();
        queue.requeue_front(messages);
        queue.finish_drain();
    }
    for message in engine.memory.get_inflight_messages(client).await.unwrap_or_default() {
        if concerned(&message.topic) {
            let _ = engine.memory.remove_inflight_message(client, message.packet_id, message.direction).await;
            dropped += 1;
        }
    }
    dropped
}
