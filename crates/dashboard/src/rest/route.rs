//! A route as one piece: where it is, who may use it, who answers, and what the OpenAPI document says of it. It cannot be declared without
//! any of these, so no route is without a rule; and the rule is held before its handler sees the request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::openapi::path::HttpMethod;

use super::document::Doc;
use crate::api::Right;
use crate::app::App;
use crate::failure::Failure;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Who is not logged in, too.
    Anyone,
    /// Whoever is logged in, about the devices that they see.
    Viewer,
    /// Whose role has this right, about the devices that they see.
    May(Right),
}

/// Routes of the API, in the order in which they were declared.
#[derive(Default)]
pub(crate) struct Routes(Vec<Route>);

/// See the module.
pub(crate) struct Route {
    pub(super) path: &'static str,
    pub(super) method: HttpMethod,
    pub(super) who: Who,
    pub(super) doc: Doc,
    handler: MethodRouter<Arc<App>>,
}

/// What a rule needs to be held.
#[derive(Clone)]
struct Rule {
    app: Arc<App>,
    who: Who,
}

impl Routes {
    /// Adds what `GET` of a path answers.
    pub(crate) fn get<H, T>(self, path: &'static str, who: Who, handler: H, doc: Doc) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add(HttpMethod::Get, path, who, on(MethodFilter::GET, handler), doc)
    }

    /// Adds what `POST` to a path does.
    pub(crate) fn post<H, T>(self, path: &'static str, who: Who, handler: H, doc: Doc) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add(HttpMethod::Post, path, who, on(MethodFilter::POST, handler), doc)
    }

    /// Adds what `PUT` to a path does.
    pub(crate) fn put<H, T>(self, path: &'static str, who: Who, handler: H, doc: Doc) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add(HttpMethod::Put, path, who, on(MethodFilter::PUT, handler), doc)
    }

    /// Adds what `DELETE` of a path does.
    pub(crate) fn delete<H, T>(self, path: &'static str, who: Who, handler: H, doc: Doc) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add(HttpMethod::Delete, path, who, on(MethodFilter::DELETE, handler), doc)
    }

    fn add(
        mut self,
        method: HttpMethod,
        path: &'static str,
        who: Who,
        handler: MethodRouter<Arc<App>>,
        doc: Doc,
    ) -> Self {
        self.0.push(Route { path, method, who, doc, handler });
        self
    }

    /// These and others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// What serves them.
    pub(crate) fn into_router(self, app: &Arc<App>) -> Router<Arc<App>> {
        self.0.into_iter().fold(Router::new(), |router, route| {
            let rule = Rule { app: Arc::clone(app), who: route.who };
            router.route(route.path, route.handler.route_layer(middleware::from_fn_with_state(rule, admit)))
        })
    }
}

/// Holds a rule: who may ask is a part of the request from then on.
async fn admit(State(rule): State<Rule>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if rule.who != Who::Anyone {
        let person = match rule.app.person(&parts) {
            Ok(person) => person,
            Err(failure) => return failure.into_response(),
        };
        if let Who::May(right) = rule.who
            && !Right::of(&person.user.role).contains(&right)
        {
            return Failure::MayNot(person.user.name.to_string()).into_response();
        }
        parts.extensions.insert(person);
    }
    next.run(Request::from_parts(parts, body)).await
}
