//! How much work a file may ask for: who encrypts a key also chooses how long it takes to open it.

use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use x509_parser::der_parser::asn1_rs::{Any, FromDer, Tag};

use crate::TlsError;

/// Iterations of all key derivations of one file together; OpenSSL writes 2048 for each, cautious people up to 600,000.
const ITERATIONS_MAX: u64 = 1_000_000;
/// Bytes that scrypt may take: 128 · N · r.
const SCRYPT_MEMORY_MAX: u64 = 32 << 20;
const SCRYPT_PARALLEL_MAX: u16 = 4;
/// The object identifier of scrypt (RFC 7914 §7.1) as it stands in a file.
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
/// Levels of constructed values that are looked through.
const DEPTH_MAX: u32 = 24;

/// Refuses a file whose key derivations, as far as they can be seen before anything is decrypted, take too long. In all
/// forms (PKCS#5, PKCS#12) the iterations are the integer that follows the salt, an octet string.
pub(crate) fn check(der: &[u8]) -> Result<(), TlsError> {
    let mut iterations = 0;
    walk(der, DEPTH_MAX, &mut iterations)
}

/// Refuses scrypt altogether, for files in which it is not usual.
pub(crate) fn check_no_scrypt(der: &[u8]) -> Result<(), TlsError> {
    if der.windows(SCRYPT.len()).any(|window| window == SCRYPT) { Err(TlsError::Work) } else { Ok(()) }
}

pub(crate) fn check_scheme(scheme: &EncryptionScheme<'_>) -> Result<(), TlsError> {
    let EncryptionScheme::Pbes2(parameters) = scheme else { return Ok(()) };
    let Kdf::Scrypt(scrypt) = &parameters.kdf else { return Ok(()) };
    let memory = scrypt.cost_parameter.checked_mul(128).and_then(|n| n.checked_mul(scrypt.block_size.into()));
    let fits = memory.is_some_and(|memory| memory <= SCRYPT_MEMORY_MAX);
    if fits && scrypt.parallelization <= SCRYPT_PARALLEL_MAX { Ok(()) } else { Err(TlsError::Work) }
}

fn walk(mut der: &[u8], depth: u32, iterations: &mut u64) -> Result<(), TlsError> {
    let mut after_salt = false;
    while !der.is_empty() {
        let Ok((rest, value)) = Any::from_der(der) else { return Ok(()) };
        if value.tag() == Tag::Integer && after_salt {
            *iterations = iterations.saturating_add(number(value.data));
            if *iterations > ITERATIONS_MAX {
                return Err(TlsError::Work);
            }
        }
        after_salt = value.tag() == Tag::OctetString;
        // Octet strings hold further values in PKCS#12; one that holds none ends at the first that is none.
        if value.header.is_constructed() || after_salt {
            let depth = depth.checked_sub(1).ok_or(TlsError::Work)?;
            walk(value.data, depth, iterations)?;
        }
        der = rest;
    }
    Ok(())
}

/// A large one is as good as any other.
fn number(bytes: &[u8]) -> u64 {
    let digits: Vec<&u8> = bytes.iter().skip_while(|byte| **byte == 0).collect();
    if digits.len() > 8 {
        return u64::MAX;
    }
    digits.into_iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
