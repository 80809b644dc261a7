//! Users: who may log in, and what they see. No password is kept, and one that is made is shown once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use vitalwire_access::{DeviceId, Role, Scope, UserName};
use vitalwire_registry::{Registry, RegistryError, User, generate_password};

use crate::api::Right;
use crate::api::admin as api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::{DONE, Routes, Who, body, says};
use crate::time::now_ms;

pub(super) fn routes() -> Routes {
    let may = Who::May(Right::Users);
    Routes::default()
        .get("/api/v1/admin/users", may, users, says("Who may log in.").answers::<api::Users>())
        .post(
            "/api/v1/admin/users",
            may,
            add,
            says("Adds a user; what is made for the first login is shown once.")
                .takes::<api::NewUser>()
                .answers::<api::Way>()
                .status(StatusCode::CONFLICT, "there is such a user"),
        )
        .post(
            "/api/v1/admin/users/{name}",
            may,
            set_rights,
            says("Sets role and devices of another user.").takes::<api::NewRights>(),
        )
        .post(
            "/api/v1/admin/users/{name}/login",
            may,
            log_in_anew,
            says("A new password, or a link that works once.").takes::<api::NewLogin>().answers::<api::Way>(),
        )
        .delete("/api/v1/admin/users/{name}", may, remove, says("Removes another user, whose sessions end."))
}

/// How long a link for a user works.
const LINK_LASTS: Duration = Duration::from_secs(24 * 3_600);

async fn users(State(app): State<Arc<App>>, person: Person) -> Result<Json<api::Users>, Failure> {
    let users = app.people.act_for(&person.user.name, Registry::users).await?;
    Ok(Json(api::Users { users: users.iter().map(shown).collect() }))
}

/// Adds a user.
async fn add(
    State(app): State<Arc<App>>,
    person: Person,
    request: Request,
) -> Result<Json<api::Way>, Failure> {
    let api::NewUser { name, role: wanted, devices, first } = body(request).await?;
    let name = name.parse::<UserName>().map_err(|error| Failure::Malformed(format!("the user: {error}")))?;
    let role = role(&wanted, devices)?;
    let (password, mut way) = password(&first);
    let user = name.clone();
    let added = move |registry: &Registry| registry.add_user(&user, role, &password);
    app.people.act_for(&person.user.name, added).await?;
    if first == api::FirstLogin::Link {
        way = link(&app, &person, name).await?;
    }
    Ok(Json(way))
}

/// Sets role and devices.
async fn set_rights(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let name = other(&person, &path, "change your own rights")?;
    let api::NewRights { role: wanted, devices } = body(request).await?;
    let role = role(&wanted, devices)?;
    app.people.act_for(&person.user.name, move |registry| registry.set_role(&name, &role)).await?;
    Ok(DONE)
}

/// A new password, or a link that works once.
async fn log_in_anew(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::Way>, Failure> {
    let name = named(&path)?;
    let api::NewLogin { first } = body(request).await?;
    if first == api::FirstLogin::Link {
        return Ok(Json(link(&app, &person, name).await?));
    }
    let (password, way) = password(&first);
    let set = move |registry: &Registry| registry.set_password(&name, &password);
    app.people.act_for(&person.user.name, set).await?;
    Ok(Json(way))
}

/// Removes a user; the sessions end with it.
async fn remove(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
) -> Result<StatusCode, Failure> {
    let name = other(&person, &path, "remove yourself")?;
    app.people.act_for(&person.user.name, move |registry| registry.remove_user(&name)).await?;
    Ok(DONE)
}

fn named(Path(name): &Path<String>) -> Result<UserName, Failure> {
    name.parse().map_err(|_| Failure::UnknownUser)
}

/// Someone else: an admin who took their own rights away could not give them back.
fn other(person: &Person, path: &Path<String>, what: &str) -> Result<UserName, Failure> {
    let name = named(path)?;
    if name.as_str() == person.user.name.as_str() {
        return Err(Failure::Conflict(format!("you cannot {what}; another admin can")));
    }
    Ok(name)
}

fn role(wanted: &str, devices: Option<Vec<String>>) -> Result<Role, Failure> {
    let scope = match devices {
        None => Scope::All,
        Some(names) => {
            let ids = names.iter().map(|name| name.parse::<DeviceId>()).collect::<Result<_, _>>();
            Scope::Named(ids.map_err(|error| Failure::Malformed(format!("a device: {error}")))?)
        }
    };
    match (wanted, scope) {
        ("admin", Scope::All) => Ok(Role::Admin),
        ("admin", Scope::Named(_)) => {
            Err(Failure::Malformed("an admin sees every device: leave `devices` out".to_owned()))
        }
        ("clinician", devices) => Ok(Role::Clinician { devices }),
        ("reader", devices) => Ok(Role::Reader { devices }),
        _ => Err(Failure::Malformed(
            "there is no such role; there are `reader`, `clinician` and `admin`".to_owned(),
        )),
    }
}

/// The password, and what is shown of it. With a link no one knows it.
fn password(first: &api::FirstLogin) -> (SecretString, api::Way) {
    let generated = generate_password();
    match first {
        api::FirstLogin::Password(password) => (password.as_str().into(), api::Way::default()),
        api::FirstLogin::Link => (generated, api::Way::default()),
        api::FirstLogin::Generated => {
            let password = Some(generated.expose_secret().to_owned());
            (generated, api::Way { password, ..api::Way::default() })
        }
    }
}

/// A link of a user that the registry has: the server may learn of a new one a moment later.
async fn link(app: &App, person: &Person, name: UserName) -> Result<api::Way, Failure> {
    let user = move |registry: &Registry| {
        let found = registry.users()?.into_iter().find(|user| user.name == name);
        let user = found.ok_or(RegistryError::UserUnknown(name))?;
        registry.record_login_link(user.name.as_str(), "in the dashboard, for 24 h")?;
        Ok(user)
    };
    let user = app.people.act_for(&person.user.name, user).await?;
    let now_ms = now_ms();
    let token = app.change_sessions(move |sessions| sessions.link(&user, LINK_LASTS, now_ms)).await?;
    let lasts_ms = i64::try_from(LINK_LASTS.as_millis()).unwrap_or(i64::MAX);
    let until = Some(now_ms.saturating_add(lasts_ms));
    Ok(api::Way { link: Some(token.to_string()), until, password: None })
}

fn shown(user: &User) -> api::UserShown {
    let devices = user.role.scope().named().map(|devices| devices.iter().map(DeviceId::to_string).collect());
    api::UserShown { name: user.name.to_string(), role: user.role.name(), devices }
}
