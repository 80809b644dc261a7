//! Where others in this process ask the surveillance: what is open now, and what a person wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use vitalwire_access::DeviceId;

use crate::alarms::{AlarmError, AlarmList, Alarms, Silence, WardSummary, WhichAlarms};

/// What people ask at the same moment. Who comes later waits.
const WISHES_MAX: usize = 64;

/// Clones are the same desk.
#[derive(Clone)]
pub(crate) struct Desk {
    view: View,
    wishes: mpsc::Sender<Wish>,
}

/// What was told last.
#[derive(Clone, Default)]
pub(crate) struct View(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    lists: BTreeMap<DeviceId, Arc<AlarmList>>,
    ward: Arc<WardSummary>,
}

/// What a person wants, and who waits for the answer.
pub(crate) enum Wish {
    Acknowledge {
        which: WhichAlarms,
        by: String,
        reason: Option<String>,
        answer: oneshot::Sender<Result<usize, AlarmError>>,
    },
    Silence {
        device: DeviceId,
        silence: Silence,
        by: String,
        answer: oneshot::Sender<Result<(), AlarmError>>,
    },
    /// What waits of a device to be journaled is dropped, and nothing more of it is watched.
    Forget { device: DeviceId, answer: oneshot::Sender<()> },
}

impl Desk {
    /// With the other end, for the surveillance itself.
    pub(crate) fn new() -> (Self, View, mpsc::Receiver<Wish>) {
        let (wishes, received) = mpsc::channel(WISHES_MAX);
        let view = View::default();
        (Self { view: view.clone(), wishes }, view, received)
    }

    pub(crate) fn alarms(&self) -> Alarms {
        let told = self.view.told();
        let patients = told.lists.values().map(|list| AlarmList::clone(list)).collect();
        Alarms { patients, ward: WardSummary::clone(&told.ward) }
    }

    pub(crate) async fn acknowledge(
        &self,
        which: WhichAlarms,
        by: String,
        reason: Option<String>,
    ) -> Result<usize, AlarmError> {
        self.ask(|answer| Wish::Acknowledge { which, by, reason, answer }).await.ok_or(AlarmError::Stopped)?
    }

    pub(crate) async fn silence(
        &self,
        device: DeviceId,
        silence: Silence,
        by: String,
    ) -> Result<(), AlarmError> {
        self.ask(|answer| Wish::Silence { device, silence, by, answer }).await.ok_or(AlarmError::Stopped)?
    }

    /// Returns when nothing of an erased device is on its way to the journal any more.
    pub(crate) async fn forget(&self, device: DeviceId) {
        // After the stop nothing is.
        let _ = self.ask(|answer| Wish::Forget { device, answer }).await;
    }

    async fn ask<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(wish(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl View {
    /// The lists that are not empty.
    pub(super) fn lists(&self) -> Vec<Arc<AlarmList>> {
        self.told().lists.values().cloned().collect()
    }

    pub(super) fn show(&self, list: &Arc<AlarmList>) {
        let mut told = self.told();
        if list.is_withdrawn || list.is_empty() {
            told.lists.remove(&list.device);
        } else {
            told.lists.insert(list.device.clone(), Arc::clone(list));
        }
    }

    pub(super) fn show_ward(&self, ward: &Arc<WardSummary>) {
        self.told().ward = Arc::clone(ward);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
