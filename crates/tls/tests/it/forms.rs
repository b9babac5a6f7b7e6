//! Every form in which `openssl` writes keys and bundles.

use std::path::Path;

use octavia_tls::{Parts, TlsBundle, TlsError};

use crate::kit::{Set, openssl};

struct Files {
    dir: tempfile::TempDir,
    set: Set,
}

impl Files {
    /// `cert.pem`, `key.pem`, `chain.pem`.
    fn new() -> Self {
        let (dir, set) = (tempfile::tempdir().unwrap(), Set::new());
        for (name, text) in [
            ("cert.pem", set.certificate.clone()),
            ("key.pem", set.key.serialize_pem()),
            ("chain.pem", set.intermediates()),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir, set }
    }

    fn made(&self, words: &str, name: &str) -> Vec<u8> {
        openssl(self.dir.path(), words);
        read(self.dir.path(), name)
    }
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

#[test]
fn pkcs12_in_every_form() {
    let files = Files::new();
    let export = "pkcs12 -export -inkey key.pem -in cert.pem -certfile chain.pem -passout pass: -out out.p12";
    for more in [
        "",
        "-legacy",
        "-keypbe NONE -certpbe NONE",
        "-keypbe NONE -certpbe NONE -nomac",
        "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg SHA1",
        "-iter 100000",
    ] {
        let bundle = TlsBundle::from_one(&files.made(&format!("{export} {more}"), "out.p12"));
        let bundle = bundle.unwrap_or_else(|error| panic!("{more}: {error}"));
        let chain: Vec<_> = bundle.chain().iter().map(|der| der.to_vec()).collect();
        assert_eq!(chain, files.set.chain(), "{more}");
    }
    for (words, expected) in [
        (export.replace("pass:", "pass:secret"), TlsError::Pkcs12),
        (format!("{export} -iter 2000000"), TlsError::Work),
        ("pkcs12 -export -nokeys -in cert.pem -passout pass: -out out.p12".to_owned(), TlsError::NoKey),
        (
            "pkcs12 -export -nocerts -inkey key.pem -passout pass: -out out.p12".to_owned(),
            TlsError::NoCertificate,
        ),
    ] {
        assert_eq!(TlsBundle::from_one(&files.made(&words, "out.p12")), Err(expected), "{words}");
    }
}

#[test]
fn intermediates_as_pkcs7() {
    let files = Files::new();
    let key = files.set.key.serialize_der();
    for form in ["PEM", "DER"] {
        let words = format!("crl2pkcs7 -nocrl -certfile chain.pem -outform {form} -out out.p7b");
        let intermediates = files.made(&words, "out.p7b");
        let bundle = TlsBundle::from_parts(&Parts {
            certificate: files.set.certificate.as_bytes(),
            private_key: &key,
            intermediates: Some(&intermediates),
            passphrase: None,
        });
        let chain: Vec<_> = bundle.unwrap().chain().iter().map(|der| der.to_vec()).collect();
        assert_eq!(chain, files.set.chain(), "{form}");
    }
}

#[test]
fn keys_in_every_form() {
    let files = Files::new();
    let dir = files.dir.path();
    for (kind, generate) in [
        ("rsa", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k.pem"),
        ("p256", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem"),
        ("p384", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out k.pem"),
        ("p521", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out k.pem"),
        ("ed25519", "genpkey -algorithm ED25519 -out k.pem"),
    ] {
        openssl(dir, generate);
        openssl(dir, "req -x509 -new -key k.pem -subj /CN=a.example.test -days 30 -out c.pem");
        let certificate = read(dir, "c.pem");
        let bundle = |key: &[u8], passphrase: Option<&[u8]>| {
            let parts =
                Parts { certificate: &certificate, private_key: key, intermediates: Some(b""), passphrase };
            TlsBundle::from_parts(&parts)
        };
        let mut plain = vec!["pkey -in k.pem -out k.out", "pkey -in k.pem -outform DER -out k.out"];
        if kind != "ed25519" {
            plain.push("pkey -in k.pem -traditional -out k.out");
            plain.push("pkey -in k.pem -traditional -outform DER -out k.out");
        }
        for words in plain {
            bundle(&files.made(words, "k.out"), None)
                .unwrap_or_else(|error| panic!("{kind} {words}: {error}"));
        }
        for words in [
            "pkcs8 -topk8 -in k.pem -passout pass:opensesame -out k.out",
            "pkcs8 -topk8 -in k.pem -passout pass:opensesame -outform DER -out k.out",
            "pkcs8 -topk8 -in k.pem -passout pass:opensesame -v2 des3 -v2prf hmacWithSHA1 -out k.out",
            "pkcs8 -topk8 -in k.pem -passout pass:opensesame -scrypt -out k.out",
        ] {
            let key = files.made(words, "k.out");
            for passphrase in [b"opensesame".as_slice(), b"opensesame\n", b"opensesame\r\n"] {
                bundle(&key, Some(passphrase)).unwrap_or_else(|error| panic!("{kind} {words}: {error}"));
            }
            assert_eq!(bundle(&key, None), Err(TlsError::PassphraseMissing), "{kind} {words}");
            assert_eq!(bundle(&key, Some(b"wrong")), Err(TlsError::Passphrase), "{kind} {words}");
        }
    }
}

#[test]
fn keys_that_are_not_for_this() {
    let files = Files::new();
    let certificate = files.set.certificate.as_bytes();
    let key = "pkcs8 -topk8 -in key.pem -passout pass:x -out k.out";
    for (words, expected) in [
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out k.out".to_owned(), TlsError::Key),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out k.out".to_owned(), TlsError::Key),
        ("genpkey -algorithm X25519 -out k.out".to_owned(), TlsError::Key),
        (format!("{key} -iter 1000001"), TlsError::Work),
        (format!("{key} -scrypt -scrypt_p 5"), TlsError::Work),
        (format!("{key} -v1 PBE-SHA1-3DES"), TlsError::Encryption),
        ("ec -in key.pem -aes256 -passout pass:x -out k.out".to_owned(), TlsError::OldEncryption),
    ] {
        let key = files.made(&words, "k.out");
        let parts =
            Parts { certificate, private_key: &key, intermediates: None, passphrase: Some(b"x".as_slice()) };
        assert_eq!(TlsBundle::from_parts(&parts), Err(expected), "{words}");
    }
}
