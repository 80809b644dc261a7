//! Who may speak to Vitalwire, and about whom: the enrolled devices with their keys, the users with their roles, the patients
//! who wear devices, and the log of their alarms, in one SQLite file that the command line and a running server share.
//!
//! Device keys, what is known of patients, and the values of alarms are sealed under a [`MasterKey`] that never lies in the data folder; passwords are stored as argon2id
//! hashes. Every change is recorded in an audit log that shows when it was tampered with. The crate opens no socket, and
//! it never prints a key, a password or a hash: every `Debug` here redacts.

mod actor;
mod alarm;
mod alarm_store;
mod audit;
mod audit_log;
mod audit_search;
mod broken;
mod change;
mod device;
mod device_row;
mod device_store;
mod directory;
mod erasure;
mod error;
mod full_disk;
mod hex;
mod kdf;
mod key;
mod key_file;
mod limits;
mod link;
mod logins;
mod paper_keys;
mod password;
mod past_alarm;
mod private_file;
mod rotation;
mod schema;
mod scope_store;
mod seal;
mod sealed_row;
mod secret;
mod setup;
mod stay;
mod stay_change;
mod stay_store;
mod store;
mod text;
mod time;
mod timeline;
mod token;
mod token_store;
mod user;
mod user_store;
mod watch;

pub use actor::user_of;
pub use alarm::{Acknowledgement, AlarmEvent, AlarmQuery, AlarmRecord, AlarmWrite, Raised};
pub use alarm_store::ALARMS_KEPT_MAX;
pub use audit::{
    AuditFault, AuditHead, AuditKind, AuditRecord, AuditReport, LoginKind, ParseAuditHeadError,
    REFUSED_LOGINS_BURST, REFUSED_LOGINS_PER_MINUTE, REPEATED_LOGINS_FOLDED_FOR,
};
pub use audit_search::{AUDIT_LOOK_MAX, AuditPage, AuditQuery};
pub use broken::BrokenCause;
pub use device::{Device, DeviceKey, Protocol};
pub use device_store::{DeviceInfo, FreshKey};
pub use directory::{Changes, DeviceChange, Directory, FoundLink, Links, RowName, UserChange};
pub use erasure::{ErasureDone, ErasureInfo};
pub use error::{RegistryError, Result};
pub use full_disk::is_full_disk;
pub use key::{MasterKey, master_key_path};
pub use limits::{
    DEVICES_MAX, LoginLimits, PROOF_LEN_MAX, ROTATION_OVERLAP, ROTATION_OVERLAP_MAX, TOKEN_LASTS_MAX,
    TOKEN_NAME_LEN_MAX, TOKENS_MAX, USERS_MAX,
};
pub use link::{LINK_ID_DIGITS, Link, LinkId, LinkIdError, LinkKeys, PreviousLink, Psk};
pub use logins::{Login, LoginRefusal, Logins};
pub use paper_keys::{ImportError, ImportReport, LINE_LEN_MAX, LineFault, parse_paper_keys};
pub use password::generate_password;
pub use past_alarm::PastAlarmQuery;
pub use rotation::MasterKeyRotation;
pub use setup::{ACCESS_POINT_PASSWORD_LEN, SETUP_KEY_LEN, SetupSecrets};
pub use stay::{CurrentStay, Moment, ParseStayIdError, Patient, PatientChange, Stay, StayId, StayPart};
pub use stay_store::{LimitsChange, STAYS_OF_DEVICE_MAX};
pub use store::{DATABASE_FILE, Registry};
pub use text::{BED_LEN_MAX, NOTES_LEN_MAX, PATIENT_NAME_LEN_MAX};
pub use timeline::{Border, Timeline};
pub use token::{ApiToken, TokenHash, TokenSecret};
pub use user::User;
pub use watch::{DirectoryWatch, POLL_INTERVAL, watch};
