//! Files read as a user would have them read: which value wins, what is said, what is shown.

use octavia_config::{Config, Kind, Limit, Severity, Source, groups, option, reference, sample, show};

fn read(files: &[&str]) -> (Config, Vec<String>) {
    let sources: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(index, text)| Source { name: format!("{index}.conf"), text: text.as_bytes().to_vec() })
        .collect();
    let (config, problems) = Config::read(&sources);
    (config, problems.iter().map(ToString::to_string).collect())
}

/// The value of one option, as it would be written.
fn value(config: &Config, group: &str, name: &str) -> Option<String> {
    let setting = config.settings().iter().find(|s| s.spec.group == group && s.spec.name == name);
    setting.unwrap().given.as_ref().map(ToString::to_string)
}

#[test]
fn which_value_wins() {
    let check = |files: &[&str], wanted: Option<&str>| {
        let (config, _) = read(files);
        let found = value(&config, "api_settings", "tls_cipher_prohibit_list");
        assert_eq!(found.as_deref(), wanted, "{files:?}");
    };
    check(&[], None);
    check(&["[api_settings]\ntls_cipher_prohibit_list = a"], Some("a"));
    check(&["[API_Settings]\ntls_cipher_prohibit_list = a"], Some("a"));
    check(&["[api_settings]\nTLS_cipher_prohibit_list = a"], None);
    check(&["[api_settings]\ntls_cipher_prohibit_list = a\ntls_cipher_prohibit_list = b"], Some("b"));
    check(
        &["[api_settings]\ntls_cipher_prohibit_list = a", "[api_settings]\ntls_cipher_prohibit_list = b"],
        Some("b"),
    );
    // An old name is worth less than the new one, but not in a later file.
    check(&["[api_settings]\ntls_cipher_prohibit_list = a\ntls_cipher_blacklist = b"], Some("a"));
    check(
        &["[api_settings]\ntls_cipher_prohibit_list = a", "[api_settings]\ntls_cipher_blacklist = b"],
        Some("b"),
    );
    // A mistake before or after changes nothing.
    check(&["[api_settings]\n!\ntls_cipher_prohibit_list = a\n= x\n[\n"], Some("a"));
}

#[test]
fn several_values_are_collected() {
    let (config, _) = read(&[
        "[oslo_messaging_notifications]\ndriver = a\ndriver = b",
        "[oslo_messaging_notifications]\ndriver = c",
    ]);
    let drivers = config.given(&option::oslo_messaging_notifications::driver).unwrap();
    assert_eq!(drivers, ["a", "b", "c"]);
    assert!(show(&config, false).contains("\ndriver = a\ndriver = b\ndriver = c\n"));
}

#[test]
fn values_have_types_and_defaults() {
    let (config, problems) = read(&["[api_settings]\nbind_port = 1\npagination_max_limit = infinite\n"]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(config.given(&option::api_settings::bind_port), Some(1));
    assert_eq!(config.get(&option::api_settings::bind_host), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(config.given(&option::api_settings::bind_host), None);
    assert_eq!(config.get(&option::api_settings::pagination_max_limit), Some(Limit(None)));
    assert_eq!(config.get(&option::health_manager::heartbeat_timeout), Some(60));
    assert_eq!(config.all_in_one(&option::health_manager::heartbeat_timeout), Some(10));
    assert_eq!(config.get(&option::networking::reserved_ips).unwrap().len(), 1);
    assert_eq!(config.get(&option::api_settings::enabled_provider_drivers).unwrap()[0].0, "amphora");
}

#[test]
fn values_refer_to_others() {
    let others =
        "[DEFAULT]\nhost = h\nbackdoor_port = $host\n[certificates]\nendpoint = e\n[nova]\nregion_name = r\n";
    let check = |written: &str, wanted: Result<&str, &str>| {
        let (config, problems) = read(&[&format!("{others}service_name = {written}\n")]);
        let found = value(&config, "nova", "service_name");
        let errors: Vec<_> = problems.iter().filter(|problem| problem.contains(": error: ")).collect();
        match wanted {
            Ok(wanted) => {
                assert_eq!((found.as_deref(), errors.len()), (Some(wanted), 0), "{written} {errors:?}")
            }
            Err(wanted) => assert!(errors[0].contains(wanted), "{written} {errors:?}"),
        }
    };
    check("$region_name", Ok("r"));
    check("a-${region_name}b", Ok("a-rb"));
    check("$host", Ok("h"));
    check("$backdoor_port", Ok("h"));
    check("$certificates.endpoint", Ok("e"));
    check("${certificates.endpoint}.x", Ok("e.x"));
    check("$health_manager.heartbeat_timeout", Ok("60"));
    check("$availability_zone|", Ok("|"));
    check("$$host \\$host $ 5$", Ok("$host $host $ 5$"));
    check("$service_name", Err("$service_name refers to itself"));
    check("$nova.service_name", Err("refers to itself"));
    check("$no_such", Err("$no_such: no such option"));
    check("$nowhere.x", Err("$nowhere.x: no such option"));
    check("$DEFAULT.host", Err("$DEFAULT.host: no such option"));
    check("$certificates", Err("$certificates: no such option"));
}

#[test]
fn values_do_not_grow_without_end() {
    let mut text =
        String::from("[nova]\nservice_name = $endpoint$endpoint\nendpoint = $region_name$region_name\n");
    text.push_str("region_name = $ca_certificates_file$ca_certificates_file\nca_certificates_file = ");
    text.push_str(&"x".repeat(20_000));
    let (_, problems) = read(&[&text]);
    assert!(
        problems.iter().any(|problem| problem.contains("becomes longer than 65536 bytes")),
        "{problems:?}"
    );
}

#[test]
fn problems() {
    let check = |text: &str, wanted: &[&str]| assert_eq!(read(&[text]).1, wanted, "{text:?}");
    check("[api_settings]\nbind_port = 9876\n", &[]);
    check(
        "[api_settings]\nbind_prot = 1\n",
        &["0.conf:2: warning: [api_settings] bind_prot: unknown option: is bind_port meant?"],
    );
    check(
        "[api_settings]\nheartbeat_key = 1\n",
        &[
            "0.conf:2: warning: [api_settings] heartbeat_key: unknown option here: is that of [health_manager] meant?",
        ],
    );
    check("[quotas]\nsky = 1\n", &["0.conf:2: warning: [quotas] sky: unknown option: it has no effect"]);
    check(
        "[api_setings]\nbind_port = x\n",
        &["0.conf:1: warning: [api_setings] unknown section: is [api_settings] meant?"],
    );
    check("[default]\ndebug = x\n", &["0.conf:1: warning: [default] unknown section: is [DEFAULT] meant?"]);
    check(
        "[profiler]\nenabled = 1\n",
        &[
            "0.conf:1: warning: [profiler] a section of one of the original's libraries: nothing in it has an effect \
             here",
        ],
    );
    check(
        "[neutron]\nsomething_new = 1\n",
        &[
            "0.conf:2: warning: [neutron] something_new: has no effect here: not an option of this program, but maybe \
             of a library of the original",
        ],
    );
    check(
        "[api_settings]\nbind_port = 70000\n",
        &["0.conf:2: error: [api_settings] bind_port: \"70000\" is not allowed; allowed: a port, 0 to 65535"],
    );
    check(
        "[api_settings]\nauth_strategy = nobody\n",
        &[
            "0.conf:2: error: [api_settings] auth_strategy: \"nobody\" is not allowed; allowed: noauth, keystone",
        ],
    );
    check(
        "[health_manager]\nsock_rlimit = 5\n",
        &["0.conf:2: warning: [health_manager] sock_rlimit: has no effect yet"],
    );
    check(
        "[task_flow]\nengine = serial\n",
        &[
            "0.conf:2: warning: [task_flow] engine: has no effect here: there are no flows and no job board: load \
             balancers are reconciled",
        ],
    );
    check(
        "[api_settings]\ntls_cipher_blacklist = a\n",
        &["0.conf:2: warning: [api_settings] tls_cipher_blacklist: an old name: write [api_settings] \
             tls_cipher_prohibit_list"],
    );
    check("bind_port = 1\n", &["0.conf:1: error: an option before the first [section]"]);
    check(
        "[api_settings]\nbind_port\n",
        &["0.conf:2: error: [api_settings] neither `name = value` nor a [section] nor a # comment"],
    );
    check(
        "[\u{1b}[31m]\n",
        &["0.conf:1: warning: [\\u{1b}[31m] unknown section: nothing in it has an effect"],
    );
}

#[test]
fn sections_below_a_group() {
    let text = "[cors.b]\nallowed_origin = https://b.test\nmax_age = 4\n\
                [cors]\nallow_methods = GET\nmax_age = 1\n\
                [cors.a]\nallow_headers = X, $allow_methods\n";
    let more =
        "[cors.B]\nallow_methods = PUT\nmax_age = 5\nallow_headers = $max_age $allow_methods\n[cors.c]\n";
    let (config, problems) = read(&[text, more]);
    assert_eq!(problems, [""; 0]);
    let found = |config: &Config| -> Vec<_> {
        let sections = config.subsections("cors").map(|below| {
            let words = |option| below.given(option).map(|words: Vec<String>| words.join(","));
            let lists =
                [&option::cors::allowed_origin, &option::cors::allow_methods, &option::cors::allow_headers];
            (lists.map(words), below.given(&option::cors::max_age))
        });
        sections.collect()
    };
    let text = |text: &str| Some(text.to_owned());
    let wanted = [
        ([None, None, text("X,GET")], None),
        ([text("https://b.test"), text("PUT"), text("5 PUT")], Some(5)),
        ([None, None, None], None),
    ];
    assert_eq!(found(&config), wanted);
    assert_eq!(config.given(&option::cors::allow_methods), Some(vec!["GET".to_owned()]), "the group's own");
    assert_eq!(config.subsections("nova").count(), 0);
    let shown = show(&config, false);
    assert!(shown.contains("[cors.a]\n# 0.conf:8\nallow_headers = X,GET\n\n[cors.b]\n"), "{shown}");
    let (again, problems) = read(&[&shown]);
    assert_eq!((problems, found(&again)), (vec![], wanted.to_vec()), "{shown}");

    let check = |text: &str, wanted: &str| assert_eq!(read(&[text]).1, [wanted], "{text:?}");
    check(
        "[cors.a]\nmax_age = x\n",
        "0.conf:2: error: [cors.a] max_age: \"x\" is not allowed; allowed: an integer from 0 to 4294967295",
    );
    check("[cors.a]\nmax_age = $max_age\n", "0.conf:2: error: [cors.a] max_age: $max_age refers to itself");
    check(
        "[cors.a]\nmax_agee = 1\n",
        "0.conf:2: warning: [cors.a] max_agee: unknown option: is max_age meant?",
    );
    check("[Cors.a]\nmax_age = x\n", "0.conf:1: warning: [Cors.a] unknown section: is [cors] meant?");
    for name in ["", "a b", "\u{e9}", &"x".repeat(101)] {
        let problem = "unknown section: [cors.NAME] has up to 100 letters, digits and _-. as NAME";
        let problems = read(&[&format!("[cors.{name}]\nmax_age = x\n")]).1;
        assert!(problems.len() == 1 && problems[0].ends_with(problem), "{problems:?}");
    }
    let many: String = (0..102).map(|n| format!("[cors.{n}]\nmax_age = x{n}\n")).collect();
    let (config, problems) = read(&[&many]);
    assert_eq!((config.subsections("cors").count(), problems.len()), (100, 102));
    let left_out =
        "0.conf:203: warning: [cors.101] there are 100 such sections already: nothing in it has an effect";
    assert_eq!(problems[101], left_out);
}

#[test]
fn files_that_are_no_text() {
    for (bytes, wanted) in [
        (&b"[nova]\n\xff"[..], "f:2: error: not UTF-8: this is no text file"),
        (b"\x7fELF\0", "f:1: error: a byte 0: this is no text file"),
        (&[b'a'; (1 << 20) + 1], "f: error: larger than 1048576 bytes: this is no configuration file"),
    ] {
        let (_, problems) = Config::read(&[Source { name: "f".to_owned(), text: bytes.to_vec() }]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].to_string(), wanted);
    }
}

#[test]
fn too_many_problems_are_cut_short() {
    let (_, problems) = read(&["x\n".repeat(1800).as_str()]);
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems[1000], "0.conf: error: and 800 more");
}

#[test]
fn secrets_are_never_shown() {
    let text = "[health_manager]\nheartbeat_key = S3CRET\nheartbeat_timeout = $heartbeat_key\n[nova]\nendpoint = \
                http://$health_manager.heartbeat_key/\n[certificates]\nserver_certs_key_passphrase = S3CRET\n\
                [database]\nconnection = postgres://u:S3CRET@h/d\n";
    let sources = [Source { name: "f".to_owned(), text: text.as_bytes().to_vec() }];
    let (config, problems) = Config::read(&sources);
    assert!(!format!("{config:?} {problems:?} {}", show(&config, true)).contains("S3CRET"));
    assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Error).count(), 2);
    assert!(show(&config, false).contains("# heartbeat_key = <secret>"));
    assert_eq!(config.given(&option::health_manager::heartbeat_key).as_deref(), Some("S3CRET"));
}

#[test]
fn what_is_shown_can_be_read() {
    let text = "[nova]\nservice_name = \" a $$ \"\nendpoint = \"'q'\"\nregion_name = x\n  y\n[controller_worker]\n\
                amp_secgroup_list = a, b\n[api_settings]\nbind_host = ::\n";
    let (config, _) = read(&[text]);
    let shown = show(&config, true);
    let (again, problems) = read(&[&shown]);
    assert!(problems.iter().all(|problem| problem.contains("no effect")), "{problems:?}");
    for group in groups() {
        for spec in group.options.iter().filter(|spec| !spec.secret) {
            if let Some(wanted) = value(&config, spec.group, spec.name) {
                assert_eq!(value(&again, spec.group, spec.name), Some(wanted), "{shown}");
            }
        }
    }
}

/// The sample has every option, and says nothing but defaults when all of it is in force.
#[test]
fn the_sample_is_right() {
    let uncommented: String = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') && !option.contains("= <") => option,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let (config, problems) = read(&[&uncommented]);
    assert!(problems.iter().all(|problem| problem.contains("has no effect")), "{problems:?}");
    for setting in config.settings() {
        let default = setting.spec.default.filter(|_| !matches!(setting.spec.kind, Kind::Multi));
        if let (Some(default), Some(given)) = (default, &setting.given) {
            let one = Source {
                name: String::new(),
                text: format!("[{}]\n{} = \"{default}\"\n", setting.spec.group, setting.spec.name)
                    .into_bytes(),
            };
            let (alone, _) = Config::read(&[one]);
            let wanted = value(&alone, setting.spec.group, setting.spec.name);
            assert_eq!(Some(given.to_string()), wanted, "{}", setting.spec.name);
        }
    }
}

/// `UPDATE_DOCS=1` writes it.
#[test]
fn the_reference_page_is_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == reference(),
        "docs/configuration.md is not what the table says: run this with UPDATE_DOCS=1"
    );
}
