//! Files that options name, looked into before a start needs them.

use octavia_config::option::{certificates, keystone_authtoken, service_auth, sorry_page};
use octavia_config::{Config, Opt, Origin, Problem, Severity};
use octavia_keystone::{TlsOptions, client_config};

use super::Settings;
use super::secrets::SecretsSettings;

/// Authorities that are not there, or in which there is no certificate; pages that are none.
pub(super) fn check(settings: &Settings, config: &Config) -> Vec<Problem> {
    let mut used: Vec<(&Opt<String>, &TlsOptions)> = vec![];
    if let Some(keystone) = &settings.keystone {
        used.push((&keystone_authtoken::cafile, &keystone.options.session.tls));
    }
    if let SecretsSettings::Barbican(barbican) = &settings.secrets {
        let [login, barbican] = barbican.tls();
        used.extend([(&service_auth::cafile, login), (&certificates::ca_certificates_file, barbican)]);
    }
    let tls = used.into_iter();
    let tls = tls.filter_map(|(option, tls)| Some(problem(config, option, client_config(tls).err()?)));
    let sorry = settings.sorry.load().err().map(|what| {
        let default = settings.sorry.directory.is_none();
        problem(config, if default { &sorry_page::default } else { &sorry_page::directory }, what)
    });
    tls.chain(sorry).collect()
}

fn problem(config: &Config, option: &Opt<String>, what: String) -> Problem {
    let (file, line) = match config.origin(option) {
        Origin::Default => ("default".to_owned(), None),
        Origin::File { name, line } => (name.clone(), Some(*line)),
    };
    Problem {
        severity: Severity::Error,
        file,
        line,
        section: Some(option.spec.group.to_owned()),
        option: Some(option.spec.name.to_owned()),
        what,
    }
}

#[cfg(test)]
mod tests {
    use octavia_config::Source;

    use super::*;

    #[test]
    fn every_authority_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        let login = "auth_url=https://k\nusername=u\npassword=p\nuser_domain_id=d\nproject_id=p\n";
        let missing = "/nowhere/ca.pem";
        let empty = empty.display().to_string();
        let base = |keystone: &str, service: &str, barbican: &str| {
            format!(
                "[keystone_authtoken]\n{login}{keystone}\n[service_auth]\n{login}{service}\n[certificates]\n{barbican}\n"
            )
        };
        let cafile = |path: &str| format!("cafile={path}");
        for (text, wanted) in [
            (base("", "", ""), None),
            (base(&cafile(missing), "", ""), Some("f:7: error: [keystone_authtoken] cafile: ")),
            (base("", &cafile(missing), ""), Some("f:14: error: [service_auth] cafile: ")),
            (base("", &cafile(&empty), ""), Some("f:14: error: [service_auth] cafile: ")),
            (
                base("", "", &format!("ca_certificates_file={missing}")),
                Some("f:16: error: [certificates] ca_certificates_file: "),
            ),
            (
                format!("{}[sorry_page]\ndirectory = {missing}", base("", "", "")),
                Some("f:18: error: [sorry_page] directory: "),
            ),
            // Nobody is believed by it.
            (base(&format!("{}\ninsecure=yes", cafile(missing)), "", ""), None),
        ] {
            let (config, _) =
                Config::read(&[Source { name: "f".to_owned(), text: text.clone().into_bytes() }]);
            let (settings, problems) = Settings::read(&config);
            assert!(problems.is_empty(), "{problems:?}");
            let found: Vec<_> = settings.check_files(&config).iter().map(ToString::to_string).collect();
            match wanted {
                None => assert_eq!(found, [""; 0], "{text}"),
                Some(wanted) => {
                    assert!(found.len() == 1 && found[0].starts_with(wanted), "{text}: {found:?}")
                }
            }
            assert!(found.iter().all(|line| line.contains(missing) || line.contains("no certificate in it")));
        }
    }
}
