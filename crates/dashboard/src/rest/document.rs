//! The OpenAPI document of the API, made of the routes themselves: their paths, rules, and the types of what they take and answer.

use axum::http::StatusCode;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, Content, Info, Object, OpenApi, Paths, Ref, RefOr, Required, Response, Schema, Type,
};
use utoipa::{IntoParams, ToSchema};

use super::route::{Route, Routes, Who};
use crate::api;

/// The way in of browsers.
const SESSION: &str = "session";
/// The way in of programs.
const TOKEN: &str = "token";

/// What the document says of a route. Begin it with [`says`].
pub(crate) struct Doc {
    summary: &'static str,
    query: Vec<Parameter>,
    body: Option<RequestBody>,
    answers: Vec<(StatusCode, Response)>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// What a route is for, in one sentence. What it takes and answers follows; without an answer it is 204.
pub(crate) fn says(summary: &'static str) -> Doc {
    Doc { summary, query: Vec::new(), body: None, answers: Vec::new(), schemas: Vec::new() }
}

impl Doc {
    /// What follows `?`.
    pub(crate) fn asks<T: IntoParams>(mut self) -> Self {
        self.query.extend(T::into_params(|| Some(ParameterIn::Query)));
        self
    }

    /// The body of the request.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        let content = self.json::<T>();
        let mut body = RequestBody::new();
        body.required = Some(Required::True);
        body.content.insert("application/json".to_owned(), content);
        self.body = Some(body);
        self
    }

    /// The answer when all is well, as JSON.
    pub(crate) fn answers<T: ToSchema>(mut self) -> Self {
        let mut response = Response::new("as asked");
        response.content.insert("application/json".to_owned(), self.json::<T>());
        self.answers.push((StatusCode::OK, response));
        self
    }

    /// The answer when all is well, as anything else: its media type.
    pub(crate) fn answers_as(mut self, kind: &'static str) -> Self {
        let mut response = Response::new("as asked");
        response.content.insert(kind.to_owned(), Content::default());
        self.answers.push((StatusCode::OK, response));
        self
    }

    /// An answer with this status. Failures need none, unless there is something to say of them: all are one type.
    pub(crate) fn status(mut self, status: StatusCode, when: &'static str) -> Self {
        let mut response = Response::new(when);
        if status.is_client_error() || status.is_server_error() {
            response.content.insert("application/json".to_owned(), self.json::<api::Failure>());
        }
        self.answers.push((status, response));
        self
    }

    fn json<T: ToSchema>(&mut self) -> Content {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(T::name()))))
    }
}

/// The document as JSON.
///
/// # Panics
/// Never: it has no map with keys that are no texts.
pub(crate) fn json(routes: Routes) -> String {
    document(&routes).to_json().expect("a document is plain JSON")
}

fn document(routes: &Routes) -> OpenApi {
    let mut info = Info::new("Vitalwire", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Vital signs of patients: who is watched, what is wrong, and what was measured. Times are milliseconds since 1970 UTC, but \
         for those of alarms. A device that the user does not see is as one that is not there. See PROTOCOL.md §6."
            .to_owned(),
    );
    let cookie = ApiKeyValue::with_description(
        "vitalwire_session_8080",
        "what POST /api/v1/session sets. Its name ends in the port that the dashboard listens at; a request that changes something \
         says its Origin, too",
    );
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "a token of `vitalwire token add`; with it no cookie counts, and no Origin is needed",
    ));
    let mut components = ComponentsBuilder::new()
        .security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
        .security_scheme(TOKEN, SecurityScheme::Http(token.build()));
    let mut paths = Paths::new();
    for route in routes.iter() {
        components = components.schemas_from_iter(route.doc.schemas.clone());
        paths.add_path_operation(route.path, vec![route.method.clone()], operation(route));
    }
    let failure = <api::Failure as utoipa::PartialSchema>::schema();
    let mut document = OpenApi::new(info, paths);
    document.components = Some(components.schema(api::Failure::name(), failure).build());
    document
}

fn operation(route: &Route) -> Operation {
    let doc = &route.doc;
    let tag = route.path.split('/').nth(3).unwrap_or_default();
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .summary(Some(doc.summary))
        .operation_id(Some(name(route)))
        .request_body(doc.body.clone())
        .securities(Some(security(route.who)));
    for parameter in in_path(route.path).chain(doc.query.iter().cloned()) {
        operation = operation.parameter(parameter);
    }
    if doc.answers.iter().all(|(status, _)| status.is_client_error() || status.is_server_error()) {
        operation = operation.response(StatusCode::NO_CONTENT.as_str(), Response::new("it is done"));
    }
    for (status, response) in &doc.answers {
        operation = operation.response(status.as_str(), response.clone());
    }
    operation.response("default", failure()).build()
}

/// Who may ask, as OpenAPI says it: no requirement for anyone, else the ways to be someone, with the right that is needed.
fn security(who: Who) -> Vec<SecurityRequirement> {
    let rights: Vec<&str> = match who {
        Who::Anyone => return Vec::new(),
        Who::Viewer => Vec::new(),
        Who::May(right) => vec![right.name()],
    };
    [SESSION, TOKEN].map(|way| SecurityRequirement::new(way, rights.iter().copied())).to_vec()
}

fn failure() -> Response {
    let schema = RefOr::<Schema>::Ref(Ref::from_schema_name(api::Failure::name()));
    let mut response = Response::new("it was not done; the body says why");
    response.content.insert("application/json".to_owned(), Content::new(Some(schema)));
    response
}

/// The parts of a path that are in braces.
fn in_path(path: &'static str) -> impl Iterator<Item = Parameter> {
    let names =
        path.split('/').filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')));
    names.map(|name| {
        let text = Schema::Object(Object::with_type(Type::String));
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).schema(Some(text)).build()
    })
}

/// A name for programs that are made of the document: `get_devices_id_history`.
fn name(route: &Route) -> String {
    let method = match route.method {
        HttpMethod::Get => "get",
        HttpMethod::Post => "post",
        HttpMethod::Delete => "delete",
        _ => "other",
    };
    let words = route.path.trim_start_matches("/api/v1/").split(|c: char| !c.is_ascii_alphanumeric());
    std::iter::once(method).chain(words.filter(|word| !word.is_empty())).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_types_have_one_name_and_no_two_routes_one_place() {
        let (mut schemas, mut names) = (BTreeMap::new(), Vec::new());
        let routes = super::super::routes();
        for route in routes.iter() {
            for (name, schema) in &route.doc.schemas {
                let schema = serde_json::to_value(schema).unwrap();
                let before = schemas.insert(name.clone(), schema.clone());
                assert!(before.is_none_or(|before| before == schema), "two types are called {name}");
            }
            names.push(name(route));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }
}
