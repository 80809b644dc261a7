//! Why a synchronisation ended early, and what to do.

use vitalwire_access::UserName;

/// Why a synchronisation ended early. What was done before stays done; the next one goes on from there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// 401.
    #[error(
        "EMQX refuses the API key: is it the one of the file that `api_key.bootstrap_file` names? EMQX reads that at its start"
    )]
    Key,
    /// 403.
    #[error("EMQX knows the API key but lets it change nothing: give it the role administrator")]
    Role,
    /// 404 for what EMQX's configuration must have.
    #[error(
        "EMQX has no {0}, or this is no EMQX: name the address of its dashboard, and let EMQX run with the emqx.conf that Vitalwire makes"
    )]
    Missing(&'static str),
    /// Users who were made by someone else.
    #[error(
        "EMQX has users of these names that Vitalwire did not make: {}. Nothing was changed. Choose other names, or take these over \
         with --take-over: they get the passwords and rights of the file",
        list(.0)
    )]
    Strangers(Vec<UserName>),
    /// Another answer than the API's documents promise.
    #[error("EMQX answers {status} to {path}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was asked.
        path: String,
        /// What EMQX says.
        reason: String,
    },
}

fn list(names: &[UserName]) -> String {
    names.iter().map(UserName::as_str).collect::<Vec<_>>().join(", ")
}
