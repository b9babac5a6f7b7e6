//! Headers of the PROXY protocol: however they come, the same is found, and what is found is what would be written.

use crate::proxy_protocol::{HEADER_MAX, ProxyProtocol, read};

/// `data` as the beginning of a connection.
pub fn proxy_protocol(data: &[u8]) -> bool {
    let whole = read(data);
    if whole == Ok(None) {
        assert!(data.len() < HEADER_MAX, "nobody waits for ever");
    }
    // The first bytes that say something say what all do.
    let first = (0..=data.len()).find_map(|end| match read(&data[..end]) {
        Ok(None) => None,
        said => Some(said),
    });
    match (first, whole) {
        (None, whole) => assert_eq!(whole, Ok(None)),
        (Some(Err(_)), whole) => assert!(whole.is_err()),
        (Some(first), whole) => assert_eq!(first, whole),
    }
    let Ok(Some(introduced)) = whole else { return false };
    assert!(introduced.length <= data.len().min(HEADER_MAX));
    if let Some((client, local)) = introduced.addresses {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let mut header = vec![];
            version.write(client, local, &mut header);
            let again = read(&header).unwrap().unwrap();
            assert_eq!((again.length, again.addresses), (header.len(), introduced.addresses));
        }
    }
    true
}
