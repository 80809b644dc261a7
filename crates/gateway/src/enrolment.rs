//! What the server itself changes in the registry: the end of a rotation's overlap, and finished erasures. Everything
//! else is the operator's, by the command line.

use std::sync::{Arc, Mutex, PoisonError};

use vitalwire_registry::{DeviceId, LinkId, Registry, RegistryError};

/// The registry, opened for writing; writes leave the reactor, because they wait for the disk.
#[derive(Clone)]
pub(crate) struct Enrolment(Arc<Mutex<Registry>>);

impl Enrolment {
    pub(crate) fn new(registry: Registry) -> Self {
        Self(Arc::new(Mutex::new(registry)))
    }

    /// The device used its new link: the old one is refused from now on. If it cannot be written now, the next
    /// connection tries again, and the overlap ends at its deadline in any case.
    pub(crate) fn confirm_rotation(&self, device: DeviceId, link: LinkId) {
        let this = self.clone();
        tokio::spawn(async move {
            let confirmed = {
                let device = device.clone();
                this.write(move |registry| registry.confirm_rotation(&device, &link)).await
            };
            match confirmed {
                Ok(true) => {
                    tracing::info!(%device, "the new key is in use; the old one is refused from now on")
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%device, %error, "the end of the old key could not be written"),
            }
        });
    }

    /// Notes that a device's readings are gone.
    pub(crate) async fn erasure_done(
        &self,
        device: DeviceId,
        entries: u64,
        proof: String,
    ) -> Result<(), RegistryError> {
        // False when it was noted before.
        self.write(move |registry| registry.erasure_done(&device, entries, &proof)).await.map(drop)
    }

    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            act(&registry.lock().unwrap_or_else(PoisonError::into_inner))
        });
        written.await.expect("a write to the registry does not panic")
    }
}
