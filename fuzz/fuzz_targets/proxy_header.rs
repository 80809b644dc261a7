//! A proxy's header, whatever it holds, gives an address or an error and never reads past its end; and what is written as
//! X-Forwarded-For or Origin is an address or a site, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_access::{Network, Origin, Origins, PROXY_PREFIX_LEN, PROXY_REST_LEN_MAX, Proxies, ProxyPrefix};

fuzz_target!(|data: &[u8]| {
    if let Some((prefix, rest)) = data.split_first_chunk::<PROXY_PREFIX_LEN>()
        && let Ok(prefix) = ProxyPrefix::decode(prefix)
    {
        assert!(prefix.rest_len() <= PROXY_REST_LEN_MAX);
        let whole = &rest[..prefix.rest_len().min(rest.len())];
        let source = prefix.source(whole);
        // What stands behind the addresses changes nothing.
        if whole.len() >= 36 {
            assert_eq!(prefix.source(&whole[..36]), source);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let proxies = Proxies::from(vec!["10.0.0.0/8".parse::<Network>().expect("it is a network")]);
    if let Some(address) = proxies.forwarded_for(text.lines()) {
        assert_eq!(address, address.to_canonical());
    }
    if let Ok(origin) = text.parse::<Origin>() {
        assert_eq!(origin.to_string().parse::<Origin>().as_ref(), Ok(&origin));
    }
    assert!(!Origins::default().allow(Some(text), Some(text)) || text.contains("://"));
});
