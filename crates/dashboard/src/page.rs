//! The page's files, built by npm and compressed when this crate was built (build.rs). It answers with what is in the program, and opens
//! no file.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use crate::failure::Failure;

/// A file, as it is and compressed.
pub(crate) struct Asset {
    path: &'static str,
    kind: &'static str,
    /// Its name changes with its content.
    is_hashed: bool,
    plain: &'static [u8],
    gzip: &'static [u8],
    brotli: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Answers what no route does.
pub(crate) async fn page(request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Failure::NotFound.into_response();
    };
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    answer(asset, request.headers())
}

fn answer(asset: &Asset, asked: &HeaderMap) -> Response {
    let (encoding, bytes) = match accepted(asked) {
        Some("br") => (Some("br"), asset.brotli),
        Some(gzip) => (Some(gzip), asset.gzip),
        None => (None, asset.plain),
    };
    let cache = if asset.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = Response::new(Body::from(Bytes::from_static(bytes)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// The best of the encodings that the browser takes.
fn accepted(asked: &HeaderMap) -> Option<&'static str> {
    let text = asked.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |encoding: &str| {
        text.split(',').any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            name.trim().eq_ignore_ascii_case(encoding) && !is_refused
        })
    };
    ["br", "gzip"].into_iter().find(|encoding| takes(encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_there_with_files_of_its_own_alone() {
        let index = ASSETS.iter().find(|asset| asset.path == "/index.html").unwrap();
        let text = std::str::from_utf8(index.plain).unwrap();
        assert!(!index.is_hashed && index.kind.starts_with("text/html"));
        // Each script and style it names is embedded; none is inline, which the policy would not let run.
        for named in text.split(['"', '\'']).filter(|text| text.contains("assets/")) {
            let path = format!("/{}", named.trim_start_matches("./").trim_start_matches('/'));
            assert!(ASSETS.iter().any(|asset| asset.path == path && asset.is_hashed), "{named}");
        }
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onload="), "{text}");
        for asset in ASSETS {
            assert!(asset.brotli.len() <= asset.plain.len() + 16 && !asset.gzip.is_empty(), "{}", asset.path);
        }
    }

    #[test]
    fn a_browser_gets_what_it_takes() {
        let encoding = |text: &str| {
            accepted(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(text).unwrap())]))
        };
        assert_eq!(encoding("gzip, deflate, br, zstd"), Some("br"));
        assert_eq!(encoding("gzip;q=0.5, br;q=0"), Some("gzip"));
        assert_eq!(encoding("identity"), None);
        assert_eq!(accepted(&HeaderMap::new()), None);
    }
}
