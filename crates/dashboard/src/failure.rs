//! Why a request is not answered as it wants, as status and text for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vitalwire_gateway::{AlarmError, HistoryError};
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
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the server cannot read its files; look at its log")]
    Unreadable,
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
            Self::UnknownDevice
            | Self::UnknownAlarm
            | Self::NotFound
            | Self::NoProvider
            | Self::Alarm(AlarmError::UnknownDevice(_)) => StatusCode::NOT_FOUND,
            Self::Registry(RegistryError::DeviceUnknown(_)) => StatusCode::NOT_FOUND,
            Self::Alarm(AlarmError::UnknownNumber(_))
            | Self::Registry(RegistryError::StayIsAnother(_) | RegistryError::LimitsAreOthers(_)) => {
                StatusCode::CONFLICT
            }
            Self::NoJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_)
            | Self::NotForwarded
            | Self::NoSession
            | Self::Alarm(AlarmError::Refused(_))
            | Self::Registry(RegistryError::Limits(_))
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
            | Self::Alarm(_)
            | Self::History(_)
            | Self::Registry(_)
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
