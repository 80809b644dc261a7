//! What lies where in a deployment: which volume is whose, and which files `init` keeps in it. Reads and writes nothing.

use clap::ValueEnum;

/// Who owns a volume and what is in it: the user that its service runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// What `init` alone reads.
    Root,
    Vitalwire,
    Emqx,
    NodeRed,
}

/// The numbers of the owners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    root: u32,
    vitalwire: u32,
    emqx: u32,
    nodered: u32,
}

impl Ids {
    /// Those of the images (deploy/Dockerfile, deploy/images).
    pub(crate) const IMAGES: Self = Self { root: 0, vitalwire: 65532, emqx: 1000, nodered: 1000 };

    /// One for all of them, for tests that are not root.
    #[cfg(test)]
    pub(crate) fn all(id: u32) -> Self {
        Self { root: id, vitalwire: id, emqx: id, nodered: id }
    }

    pub(crate) fn of(self, owner: Owner) -> u32 {
        match owner {
            Owner::Root => self.root,
            Owner::Vitalwire => self.vitalwire,
            Owner::Emqx => self.emqx,
            Owner::NodeRed => self.nodered,
        }
    }
}

/// What is made again when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Renew {
    /// The authority and all certificates
    Certificates,
    /// The passwords with which the gateway and Node-RED log in to the broker
    Mqtt,
    /// What signs Node-RED's sessions, and who may log in there
    Pages,
    /// EMQX's cookie, and the key of its REST API
    Emqx,
    /// The master key: the registry is sealed under a new one
    MasterKey,
}

/// A volume, mounted below the deployment's folder, or a folder in one. Mode 0700.
pub(crate) struct Volume {
    pub(crate) name: &'static str,
    pub(crate) owner: Owner,
}

/// A file that `init` makes when it is missing.
pub(crate) struct Kept {
    /// `VOLUME/NAME`.
    pub(crate) path: &'static str,
    pub(crate) mode: u32,
    /// With what it is made again.
    pub(crate) renew: Option<Renew>,
}

pub(crate) const AUTHORITY: &str = "authority/authority.pem";
pub(crate) const SERVER_PAIR: &str = "authority/vitalwire.pem";
pub(crate) const EMQX_PAIR: &str = "authority/emqx.pem";
pub(crate) const NODERED_PAIR: &str = "authority/nodered.pem";
pub(crate) const COOKIE: &str = "authority/emqx-cookie";
pub(crate) const API_KEY: &str = "authority/emqx-api-key";
pub(crate) const DASHBOARD_PASSWORD: &str = "authority/emqx-dashboard-password";
pub(crate) const MASTER_KEY: &str = "secrets/master-key";
pub(crate) const SERVER_CA: &str = "secrets/ca.pem";
pub(crate) const SERVER_CERTIFICATE: &str = "secrets/certificate.pem";
pub(crate) const SERVER_KEY: &str = "secrets/key.pem";
pub(crate) const SERVER_PASSWORD: &str = "secrets/mqtt-password";
pub(crate) const SERVER_API_KEY: &str = "secrets/emqx-api-key";
pub(crate) const ACCOUNTS: &str = "data/emqx-users.toml";
pub(crate) const EMQX_CA: &str = "emqx/ca.pem";
pub(crate) const EMQX_CERTIFICATE: &str = "emqx/cert.pem";
pub(crate) const EMQX_KEY: &str = "emqx/key.pem";
pub(crate) const EMQX_CONFIG: &str = "emqx/emqx.conf";
pub(crate) const EMQX_USERS: &str = "emqx/users.csv";
pub(crate) const EMQX_API_KEYS: &str = "emqx/api-keys";
pub(crate) const EMQX_ACL: &str = "emqx-data/authz/acl.conf";
pub(crate) const NODERED_CA: &str = "nodered/ca.pem";
pub(crate) const NODERED_CERTIFICATE: &str = "nodered/certificate.pem";
pub(crate) const NODERED_KEY: &str = "nodered/key.pem";
pub(crate) const NODERED_USER: &str = "nodered/mqtt-user";
pub(crate) const NODERED_PASSWORD: &str = "nodered/mqtt-password";
pub(crate) const NODERED_SECRET: &str = "nodered/secret";
pub(crate) const NODERED_USERS: &str = "nodered/users";

/// The volume that holds the data folder and the folder's name in it.
pub(crate) const DATA_VOLUME: &str = "data";
pub(crate) const DATA_FOLDER: &str = "vitalwire";

/// Every volume that `init` prepares.
pub(crate) const VOLUMES: &[Volume] = &[
    // Who has it can pretend to be each server: no service mounts it.
    Volume { name: "authority", owner: Owner::Root },
    // The data folder: registry, journal, settings; and who may log in to EMQX.
    Volume { name: DATA_VOLUME, owner: Owner::Vitalwire },
    // Apart from the data folder, so that a copy of that holds no usable key.
    Volume { name: "secrets", owner: Owner::Vitalwire },
    Volume { name: "emqx", owner: Owner::Emqx },
    // What EMQX writes itself.
    Volume { name: "emqx-data", owner: Owner::Emqx },
    Volume { name: "emqx-data/authz", owner: Owner::Emqx },
    Volume { name: "emqx-log", owner: Owner::Emqx },
    Volume { name: "nodered", owner: Owner::NodeRed },
    // What Node-RED writes itself: the flows.
    Volume { name: "nodered-data", owner: Owner::NodeRed },
    // What the sniffers write.
    Volume { name: "captures", owner: Owner::Vitalwire },
];

/// Every file that `init` keeps, beside the data folder. An earlier one makes later ones: in this order they are made, and
/// against it they are removed to be made again.
pub(crate) const FILES: &[Kept] = &[
    secret(AUTHORITY, Some(Renew::Certificates)),
    secret(SERVER_PAIR, Some(Renew::Certificates)),
    secret(EMQX_PAIR, Some(Renew::Certificates)),
    secret(NODERED_PAIR, Some(Renew::Certificates)),
    secret(COOKIE, Some(Renew::Emqx)),
    secret(API_KEY, Some(Renew::Emqx)),
    // Never removed: it is rotated in its place (data.rs).
    secret(MASTER_KEY, None),
    public(SERVER_CA, Some(Renew::Certificates)),
    public(SERVER_CERTIFICATE, Some(Renew::Certificates)),
    secret(SERVER_KEY, Some(Renew::Certificates)),
    secret(SERVER_PASSWORD, Some(Renew::Mqtt)),
    secret(SERVER_API_KEY, Some(Renew::Emqx)),
    public(EMQX_CA, Some(Renew::Certificates)),
    public(EMQX_CERTIFICATE, Some(Renew::Certificates)),
    secret(EMQX_KEY, Some(Renew::Certificates)),
    secret(EMQX_API_KEYS, Some(Renew::Emqx)),
    public(NODERED_CA, Some(Renew::Certificates)),
    public(NODERED_CERTIFICATE, Some(Renew::Certificates)),
    secret(NODERED_KEY, Some(Renew::Certificates)),
    public(NODERED_USER, None),
    secret(NODERED_PASSWORD, Some(Renew::Mqtt)),
    secret(NODERED_SECRET, Some(Renew::Pages)),
    // The programs that change these write them, too.
    Kept { path: NODERED_USERS, mode: 0o600, renew: Some(Renew::Pages) },
    secret(DASHBOARD_PASSWORD, None),
    secret(EMQX_CONFIG, Some(Renew::Emqx)),
    Kept { path: ACCOUNTS, mode: 0o600, renew: None },
    secret(EMQX_USERS, None),
    // EMQX writes the rules here that `vitalwire emqx sync` gives it. They are no secret.
    Kept { path: EMQX_ACL, mode: 0o644, renew: None },
];

const fn secret(path: &'static str, renew: Option<Renew>) -> Kept {
    Kept { path, mode: 0o400, renew }
}

const fn public(path: &'static str, renew: Option<Renew>) -> Kept {
    Kept { path, mode: 0o444, renew }
}

/// The volume of a file in the table.
pub(crate) fn volume(path: &str) -> Option<&'static Volume> {
    let name = path.split('/').next()?;
    VOLUMES.iter().find(|volume| volume.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_stands_once_and_in_a_volume() {
        for (place, file) in FILES.iter().enumerate() {
            assert!(volume(file.path).is_some(), "{}", file.path);
            assert!(FILES.iter().skip(place + 1).all(|other| other.path != file.path), "{}", file.path);
        }
    }
}
