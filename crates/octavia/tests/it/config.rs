//! `octavia.conf`, as an operator meets it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use octavia_testkit::AllInOneOptions;
use serde_json::json;

use crate::world::{World, binary};

fn octavia(directory: &Path, words: &str) -> Result<Output> {
    let mut command = Command::new(binary());
    command.current_dir(directory).args(words.split_whitespace());
    command.env_remove("OCTAVIA_STATE_DIR").env_remove("OCTAVIA_DATABASE_URL").env_remove("OCTAVIA_LOG");
    Ok(command.output()?)
}

/// Runs it over some files and compares exit status and output: of both outputs, the lines wanted.
#[test]
fn what_is_wrong_is_said() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("d"))?;
    for (name, text) in [
        ("good", "[api_settings]\nbind_port = 1234\n"),
        ("wrong", "[api_settings]\nbind_port = 123456\n"),
        ("warn", "[api_setings]\n[health_manager]\nsock_rlimit = 1\n"),
        ("secret", "[health_manager]\nheartbeat_key = QzX7\n[database]\nconnection = mysql://u:QzX7@h/d\n"),
        (
            "urls",
            "[certificates]\nendpoint = http://u:QzX7@bar\n[task_flow]\njobboard_redis_backend_ssl_options = \
             ssl_keyfile_password:QzX7\n",
        ),
        ("database", "[database]\nconnection = mysql://u:QzX7@h:33o6/d\n"),
        ("d/1.conf", "[api_settings]\nbind_port = 1\n"),
        ("d/2.conf", "[api_settings]\nbind_port = 2\n"),
        ("binary", "\u{1}\0"),
    ] {
        std::fs::write(path(name), text)?;
    }
    std::fs::write(path("huge"), vec![b'#'; 3 << 20])?;
    for (words, code, wanted) in [
        ("config validate --config-file good", 0, "0 errors, 0 warnings"),
        (
            "config validate --config-file warn",
            0,
            "warn:1: warning: [api_setings] unknown section: is [api_settings] meant?",
        ),
        ("config validate --config-file warn", 0, "0 errors, 2 warnings"),
        (
            "config validate --config-file wrong",
            1,
            "wrong:2: error: [api_settings] bind_port: \"123456\" is not allowed; allowed: a port, 0 to 65535",
        ),
        ("config validate --config-file wrong --config-file good", 0, "0 errors, 0 warnings"),
        (
            "config validate --config-file no",
            1,
            "no: error: cannot be read: No such file or directory (os error 2)",
        ),
        ("config validate --config-file no --config-file wrong", 1, "2 errors, 0 warnings"),
        ("config validate --config-file d", 1, "d: error: cannot be read: Is a directory (os error 21)"),
        (
            "config validate --config-dir good",
            1,
            "good: error: cannot be read: Not a directory (os error 20)",
        ),
        ("config validate --config-file binary", 1, "binary:1: error: a byte 0: this is no text file"),
        (
            "config validate --config-file huge",
            1,
            "huge: error: larger than 1048576 bytes: this is no configuration file",
        ),
        ("config validate", 1, "octavia: nothing to validate: --config-file or --config-dir is needed"),
        ("config show", 0, "bind_port = 9876"),
        ("config show --config-file good", 0, "# good:2"),
        ("config show --config-file good --config-dir d", 0, "# d/2.conf:2"),
        ("config show --config-dir d --config-file good", 0, "bind_port = 2"),
        (
            "config show --config-file wrong",
            1,
            "wrong:2: error: [api_settings] bind_port: \"123456\" is not allowed; allowed: a port, 0 to 65535",
        ),
        ("config show --config-file secret", 0, "# heartbeat_key = <secret>"),
        ("config show --config-file urls", 0, "# endpoint = http://<secret>@bar"),
        ("config show --config-file urls", 0, "# jobboard_redis_backend_ssl_options = <secret>"),
        (
            "config validate --config-file database",
            1,
            "database:2: error: [database] connection: invalid port number; in a user name or a password, # / ? @ have \
             to be written %23 %2F %3F %40",
        ),
        (
            "all-in-one --state-dir t --log trace --database mysql://u:QzX7#t@h/d",
            1,
            "octavia: the database does not open: database URL: in a user name or a password, # / ? @ have to be \
             written %23 %2F %3F %40",
        ),
        ("config sample", 0, "#bind_port = 9876"),
        ("all-in-one --state-dir s --config-file wrong", 1, "octavia: the configuration is wrong, see above"),
    ] {
        let output = octavia(dir.path(), words)?;
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        ensure!(output.status.code() == Some(code), "{words}: {:?}\n{said}", output.status);
        ensure!(said.lines().any(|line| line == wanted), "{words}:\n{said}");
        ensure!(!said.contains("QzX7"), "{words}:\n{said}");
    }
    ensure!(!path("s").exists(), "nothing is made before the configuration is right");
    Ok(())
}

/// Options that clients notice; the command line wins over the file.
#[tokio::test(flavor = "multi_thread")]
async fn all_in_one_does_as_the_file_says() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let path = dir.path().join("octavia.conf");
    let database = dir.path().join("other.db");
    let text = format!(
        "[api_settings]\nbind_port = 1\nallow_ping_health_monitors = false\napi_base_uri = https://lb.example/\n\
         pagination_max_limit = 1\n[health_manager]\nsock_rlimit = 5\n[database]\nconnection = sqlite:///{}\n",
        database.display()
    );
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), path.clone().into()];
    let world = World::start_with(dir, options).await?;
    let warning = format!("{}:7: warning: [health_manager] sock_rlimit: has no effect yet", path.display());
    ensure!(world.product.log_tail().contains(&warning));
    ensure!(database.exists());

    for name in ["a", "b"] {
        let body = json!({"loadbalancer": {"name": name, "vip_subnet_id": world.subnet_id}});
        world.rest.post("/lbaas/loadbalancers", &body).await?;
    }
    let page = world.rest.get("/lbaas/loadbalancers").await?;
    ensure!(page["loadbalancers"].as_array().is_some_and(|all| all.len() == 1), "{page}");
    let next = page["loadbalancers_links"][0]["href"].as_str().unwrap_or_default();
    ensure!(next.starts_with("https://lb.example/"), "{page}");
    Ok(())
}
