//! Why a row of the registry is not used.

/// Why a row is left out of the directory. The others stay in service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BrokenCause {
    #[error("its name is not valid; someone changed the file by hand")]
    Name,
    #[error("it is enrolled for the protocol {0:?}, which this version does not know; run a newer version")]
    UnknownProtocol(String),
    #[error(
        "its sealed key does not open: the row was changed, or the key of another device was put there; \
         revoke it and enrol it again"
    )]
    Seal,
    #[error("its key generation {0} is out of range; revoke it and enrol it again")]
    Generation(i64),
    #[error("its password hash is damaged or asks for too much memory; set the password again")]
    PasswordHash,
    #[error("it has a role this version does not know; set the role again, or run a newer version")]
    Role,
}
