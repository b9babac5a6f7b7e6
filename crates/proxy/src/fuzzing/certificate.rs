//! Certificates of clients: whatever is in one, what becomes of it fits into a header.

use crate::tls::{ClientCertificate, VALUE_MAX, next_update};

/// `data` as a certificate in DER.
pub fn client_certificate(data: &[u8]) -> bool {
    // A list of its authority's is as much others' words.
    let _ = next_update(data);
    let Some(certificate) = ClientCertificate::read(data) else { return false };
    if let Some(end) = certificate.ends() {
        assert!(!certificate.is_valid_at(end));
    }
    let mut all = vec![];
    for name in [certificate.subject, certificate.issuer] {
        let mut written = vec![];
        name.write(&mut written);
        assert!(written.len() <= VALUE_MAX, "{}", written.len());
        assert!(written.is_empty() || written[0] == b'/');
        for key in ["CN", "o", "1.2.3", ""] {
            let mut value = vec![];
            name.write_value(key, &mut value);
            match name.value(key) {
                Some(found) if found.len() <= VALUE_MAX => assert_eq!(value.len(), found.len()),
                _ => assert!(value.is_empty()),
            }
            all.extend(value);
        }
        all.extend(written);
    }
    let mut times = vec![];
    certificate.write_not_before(&mut times);
    certificate.write_not_after(&mut times);
    assert!(times.len() <= 64);
    all.extend(times);
    certificate.write_sha1(&mut all);
    assert!(all.iter().all(|byte| *byte >= b' ' && *byte != 0x7f));
    true
}
