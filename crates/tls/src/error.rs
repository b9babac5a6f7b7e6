//! Why something is not what it should be, in words that say what to do.

/// Nothing of what was read is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("The {0} is empty.")]
    Empty(&'static str),
    #[error("The {0} is larger than {1} bytes.")]
    TooLarge(&'static str, usize),
    #[error("There are more than {0} certificates.")]
    TooMany(usize),
    #[error(
        "The PEM text is damaged: a BEGIN line without its END line, or what is between them is not base64."
    )]
    Pem,
    #[error("There is no certificate in it; PEM, DER or PKCS#7 with an X.509 certificate is expected.")]
    NoCertificate,
    #[error("A certificate in it is not X.509, or is damaged.")]
    Certificate,
    #[error("The PKCS#7 is damaged, or is not a bundle of certificates.")]
    Pkcs7,
    #[error("There is no private key in it; PKCS#8, PKCS#1 or SEC 1 as PEM or DER is expected.")]
    NoKey,
    #[error("There is more than one private key in it.")]
    ManyKeys,
    #[error(
        "The private key cannot be used. RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519 can."
    )]
    Key,
    #[error("The private key is encrypted, and there is no passphrase: store one as private_key_passphrase.")]
    PassphraseMissing,
    #[error("The private key does not open with the passphrase.")]
    Passphrase,
    #[error(
        "The private key is encrypted in the old form of OpenSSL (Proc-Type: 4,ENCRYPTED), which is not read. Convert it: \
         openssl pkcs8 -topk8 -v2 aes-256-cbc"
    )]
    OldEncryption,
    #[error(
        "The private key is encrypted in a way that is not read. Convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc"
    )]
    Encryption,
    #[error(
        "The encryption asks for more work than is done for it: too many iterations, or scrypt that is too large."
    )]
    Work,
    #[error("The private key does not belong to the certificate.")]
    Mismatch,
    #[error("The certificate has neither a common name nor a DNS name.")]
    Nameless,
    /// The original's words follow what is a PKCS#12 bundle and cannot be read.
    #[error("The PKCS#12 bundle is unreadable: it is damaged, or has a passphrase; it must have none.")]
    Pkcs12,
    #[error("There is no certificate revocation list in it; X.509 as PEM or DER is expected.")]
    NoCrl,
    #[error("A certificate revocation list in it is damaged.")]
    Crl,
    /// What `openssl ca -gencrl` writes when its configuration has neither `crlnumber` nor `crl_extensions`.
    #[error(
        "A certificate revocation list in it is of version 1, or has no extensions; such lists are not used here. Name a \
         file as crlnumber in the configuration of openssl ca, and make the list again."
    )]
    CrlVersion,
    #[error("A certificate revocation list in it is a delta; whole ones are expected.")]
    CrlDelta,
    #[error(
        "A certificate revocation list in it has critical extensions that are not understood here, or does not say when \
         the next one comes (nextUpdate), or is damaged."
    )]
    CrlUnsupported,
    #[error("None of the certificates in it can be used to verify others.")]
    Authority,
    #[error("The certificate revocation list is not signed by the certificate authority.")]
    CrlForeign,
}
