//! What the dashboard asks of the registry: who wears a device, which stay that is, and the record of who looked. What waits for the
//! disk leaves the reactor.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use vitalwire_access::DeviceId;
use vitalwire_registry::{AlarmQuery, AlarmRecord, Registry, RegistryError, StayId, Timeline};

use crate::app::AskerName;

/// Who wears a device, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) stay: Option<u64>,
    pub(crate) patient: Option<String>,
    pub(crate) bed: Option<String>,
    /// From when on what the device measures is of this stay: UTC, microseconds since 1970.
    pub(crate) border_us: i64,
}

/// Clones are the same. What is written has a connection of its own: a reader does not wait while a writer waits for others. So has what
/// admins do: a long search of theirs keeps no one else.
#[derive(Clone)]
pub(crate) struct People {
    reads: Arc<Mutex<Registry>>,
    pub(crate) looks: Arc<Mutex<Registry>>,
    admins: Arc<Mutex<Registry>>,
}

impl People {
    pub(crate) fn open(data: &Path, master_key: &Path) -> Result<Self, RegistryError> {
        let open = || -> Result<_, RegistryError> {
            let registry = Registry::open_with_key_file(data, master_key)?.acting_as("dashboard");
            Ok(Arc::new(Mutex::new(registry)))
        };
        Ok(Self { reads: open()?, looks: open()?, admins: open()? })
    }

    /// The stays that go on, and their patients.
    pub(crate) async fn all(&self) -> Result<BTreeMap<DeviceId, Who>, RegistryError> {
        let read = |registry: &Registry| Ok((registry.stays()?, registry.borders()?));
        let (stays, borders) = execute(&self.reads, read).await?;
        let text = |text: String| (!text.is_empty()).then_some(text);
        let present = stays.into_iter().filter(|stay| stay.ended_us.is_none());
        let who = present.map(|stay| {
            let (name, bed) =
                stay.patient.map_or_else(Default::default, |patient| (patient.name, patient.bed));
            let border_us = borders.get(&stay.device).copied().unwrap_or(0);
            let who = Who { stay: Some(stay.id.number()), patient: text(name), bed: text(bed), border_us };
            (stay.device, who)
        });
        Ok(who.collect())
    }

    /// The stay that goes on on a device, and what of its history belongs to it.
    pub(crate) async fn stay(&self, device: DeviceId) -> Result<(StayId, Timeline), RegistryError> {
        let read =
            move |registry: &Registry| Ok((registry.current_stay(&device)?.id, registry.timeline(&device)?));
        execute(&self.reads, read).await
    }

    /// The newest alarms of a stay that were raised before this time.
    pub(crate) async fn alarms_of(
        &self,
        stay: StayId,
        to_us: i64,
        limit: usize,
    ) -> Result<Vec<AlarmRecord>, RegistryError> {
        let query =
            AlarmQuery { stay: Some(stay), to_us: Some(to_us), limit: Some(limit), ..AlarmQuery::default() };
        execute(&self.reads, move |registry| registry.alarms(&query)).await
    }

    /// Asks something else of the registry.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        execute(&self.reads, ask).await
    }

    /// Changes something in it.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        execute(&self.looks, change).await
    }

    /// Puts on record that a person looked at what devices measure.
    pub(crate) async fn record_looks(
        &self,
        user: String,
        devices: Vec<DeviceId>,
        detail: String,
    ) -> Result<(), RegistryError> {
        execute(&self.looks, move |registry| registry.record_looks(&user, &devices, &detail)).await
    }

    /// Asks or changes the registry for an admin, whose name is on record with what is changed.
    pub(crate) async fn act_for<T: Send + 'static>(
        &self,
        person: &AskerName,
        act: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let person = person.clone();
        execute_mut(&self.admins, move |registry| registry.acting_for(person.as_str(), act)).await
    }
}

async fn execute<T: Send + 'static>(
    registry: &Arc<Mutex<Registry>>,
    act: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    execute_mut(registry, |registry| act(registry)).await
}

async fn execute_mut<T: Send + 'static>(
    registry: &Arc<Mutex<Registry>>,
    act: impl FnOnce(&mut Registry) -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    let registry = Arc::clone(registry);
    let executed = tokio::task::spawn_blocking(move || {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.follow_file()?;
        act(&mut registry)
    });
    executed.await.expect("what asks the registry does not panic")
}
