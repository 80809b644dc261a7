//! Why a request is not answered as it wants, as status and text for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vitalwire_gateway::{AlarmError, HistoryError};
use vitalwire_label::{IdentityError, LabelError};
use vitalwire_oidc::OidcError;
use vitalwire_registry::{LoginRefusal, RegistryError};

use crate::guard::Refusal;
use crate::limits::BODY_BYTES_MAX;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("a proxy of dashboard.proxies must say in X-Forwarded-For for whom it asks; set that there")]
    NotForwarded,
    #[error("no one is logged in, or the session has ended; log in")]
    LoggedOut,
    #[error(
        "this token was removed, has ended, or was never one; `vitalwire token list` shows those there are"
    )]
    Token,
    #[error("a token has no session to end; `vitalwire token remove` removes it")]
    NoSession,
    #[error(transparent)]
    Login(#[from] LoginRefusal),
    #[error("this link was used, or is too old; log in with name and password")]
    Link,
    #[error("there is no other way to log in than name and password")]
    NoProvider,
    #[error(transparent)]
    Provider(#[from] OidcError),
    #[error("the provider knows you as `{0}`, which is no user here; ask an admin for one of that name")]
    NotAUser(String),
    #[error("the role of `{0}` does not allow this; ask an admin")]
    MayNot(String),
    #[error("no device of this name is enrolled, or it is none of yours")]
    UnknownDevice,
    #[error("no alarm of this number is kept, or it is none of your patients' who are here now")]
    UnknownAlarm,
    #[error("there is nothing at this address; the dashboard is at /")]
    NotFound,
    #[error("the body must be JSON, with Content-Type: application/json")]
    NoJson,
    #[error("{0}")]
    Malformed(String),
    #[error("a body has at most {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the body did not come in time; try again")]
    TooSlow,
    #[error("the answer takes too long; ask for less, or later")]
    Busy,
    #[error("`{0}` has as many live connections as a user may have; close another tab")]
    TooManyLive(String),
    #[error("this address answers a WebSocket alone")]
    NoWebSocket,
    #[error("it could not be written; look at the server's disk and log, and try again")]
    NotWritten,
    #[error(transparent)]
    Alarm(#[from] AlarmError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the server cannot read its files; look at its log")]
    Unreadable,
    #[error("there is no user of this name")]
    UnknownUser,
    #[error("{0}")]
    Conflict(String),
    #[error("{}", of_registry(.0))]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// For someone who has a page before them, and no command line.
fn of_registry(error: &RegistryError) -> String {
    match error {
        RegistryError::PatientIsAnother(device) => format!(
            "a patient with another name wears {device}: begin a new stay for another patient, or say that the name was wrong"
        ),
        RegistryError::PatientUnknown(device) => format!("no one is known to wear {device}"),
        RegistryError::DeviceUnknown(device) => format!("there is no enrolled device {device}"),
        RegistryError::UserUnknown(user) => format!("there is no user {user}"),
        RegistryError::ErasurePending(device) => format!(
            "device {device} cannot be enrolled yet: what an earlier one of that name sent is still to be erased, which the server does"
        ),
        told if is_for_operator(told) => Failure::NotWritten.to_string(),
        told => told.to_string(),
    }
}

/// Files, disk and keys: not what a person asked for, but what the server has.
fn is_for_operator(error: &RegistryError) -> bool {
    of_request(error).is_none() && !matches!(error, RegistryError::Busy { .. } | RegistryError::DiskFull)
}

/// The status of what was asked for wrongly.
fn of_request(error: &RegistryError) -> Option<StatusCode> {
    use RegistryError as E;
    match error {
        E::DeviceUnknown(_) | E::UserUnknown(_) | E::StayUnknown(_) | E::ErasureUnknown(_) => {
            Some(StatusCode::NOT_FOUND)
        }
        E::OverlapTooLong { .. }
        | E::ScopeEmpty(_)
        | E::ScopeDeviceUnknown { .. }
        | E::TextTooLong { .. }
        | E::TextControl { .. }
        | E::MoveToSame(_)
        | E::Limits(_)
        | E::Password(_) => Some(StatusCode::BAD_REQUEST),
        E::DeviceExists(_)
        | E::ErasurePending(_)
        | E::DeviceBroken { .. }
        | E::ProtocolChanged(_)
        | E::KeyTaken { .. }
        | E::DevicesFull { .. }
        | E::GenerationsUsedUp(_)
        | E::UserExists(_)
        | E::UsersFull { .. }
        | E::PatientUnknown(_)
        | E::PatientIsAnother(_)
        | E::PatientBroken(_)
        | E::DeviceIsWorn(_)
        | E::StayIsAnother(_)
        | E::LimitsAreOthers(_) => Some(StatusCode::CONFLICT),
        _ => None,
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refusal::Host) => StatusCode::MISDIRECTED_REQUEST,
            Self::Refused(_) | Self::MayNot(_) | Self::NotAUser(_) => StatusCode::FORBIDDEN,
            Self::LoggedOut | Self::Token | Self::Link | Self::Login(LoginRefusal::WrongPassword) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Login(LoginRefusal::LockedOut) | Self::TooManyLive(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Provider(error) => provider_status(error),
            Self::Registry(error) => of_request(error).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::UnknownUser
            | Self::UnknownDevice
            | Self::UnknownAlarm
            | Self::NotFound
            | Self::NoProvider
            | Self::Alarm(AlarmError::UnknownDevice(_)) => StatusCode::NOT_FOUND,
            Self::Alarm(AlarmError::UnknownNumber(_)) => StatusCode::CONFLICT,
            Self::NoJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_)
            | Self::NotForwarded
            | Self::NoSession
            | Self::Alarm(AlarmError::Refused(_))
            | Self::History(
                HistoryError::Range
                | HistoryError::Points { .. }
                | HistoryError::WaveSpan
                | HistoryError::UnknownChannel { .. },
            ) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoWebSocket => StatusCode::UPGRADE_REQUIRED,
            Self::Busy
            | Self::Login(LoginRefusal::Busy)
            | Self::NotWritten
            | Self::Label(_)
            | Self::Identity(_)
            | Self::Alarm(_)
            | Self::History(_)
            | Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn provider_status(error: &OidcError) -> StatusCode {
    match error {
        OidcError::Unreachable(..) | OidcError::NoClaim { .. } => StatusCode::SERVICE_UNAVAILABLE,
        OidcError::Foreign | OidcError::Refused(..) | OidcError::Unproven(..) => StatusCode::UNAUTHORIZED,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = match &self {
            // What the disk says is for the operator.
            Self::History(HistoryError::Journal(error)) => {
                tracing::error!(%error, "a history could not be read");
                Self::Unreadable.to_string()
            }
            Self::Provider(OidcError::Foreign) => OidcError::Foreign.to_string(),
            // What it says and where it is is for the operator, too.
            Self::Provider(error) => {
                tracing::warn!(%error, "no login with the provider");
                "no login with the provider: see the server's log, or log in with name and password"
                    .to_owned()
            }
            Self::Registry(error) if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                tracing::error!(%error, "the dashboard cannot use the registry");
                match error {
                    RegistryError::DiskFull | RegistryError::Busy { .. } => error.to_string(),
                    _ => Self::Unreadable.to_string(),
                }
            }
            told => told.to_string(),
        };
        (self.status(), Json(crate::api::Failure { error })).into_response()
    }
}
