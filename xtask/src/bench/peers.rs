//! HAProxy, nginx and ours as a benchmark of the whole data plane wants them: each with the same fronts (HTTP, HTTPS with
//! an RSA and with an ECDSA certificate, HTTP/2, TCP), the same members and ciphers, on one thread, and tuned.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use octavia_model::{
    Algorithm, AmphoraId, Cipher, ClientAuthentication, ListenerId, ListenerProtocol, LoadBalancerId, PoolId,
    PoolProtocol, Timeouts, TlsVersion,
};
use octavia_testkit::net;
use octavia_wire::{
    AmphoraSpec, CertificateSpec, Der, IdentitySpec, KeySpec, ListenerSpec, PoolSpec, TimeoutsSpec, TlsSpec,
    WIRE_VERSION,
};

use super::ground::Ground;
use super::servers::{LOOPBACK, Server, member, on_cpu, on_cpus, program};
use crate::shell::run_quietly;

/// What clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Http,
    HttpsRsa2048,
    HttpsP256,
    /// With the P-256 certificate.
    Http2,
    Tcp,
}

impl Front {
    pub(super) const ALL: [Self; 5] =
        [Self::Http, Self::HttpsRsa2048, Self::HttpsP256, Self::Http2, Self::Tcp];

    pub(super) fn scheme(self) -> &'static str {
        if matches!(self, Self::Http | Self::Tcp) { "http" } else { "https" }
    }

    fn at(self) -> usize {
        Self::ALL.iter().position(|front| *front == self).unwrap_or_default()
    }
}

/// One of those that are compared.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) server: Server,
    fronts: Fronts,
}

impl Side {
    /// Where a front of it is, if it has it.
    pub(super) fn front(&self, front: Front) -> Option<SocketAddr> {
        // Debian's nginx forwards TCP by a module of another package.
        (self.name != "nginx" || front != Front::Tcp).then(|| self.fronts.of(front))
    }
}

#[derive(Debug, Clone, Copy)]
struct Fronts([u16; Front::ALL.len()]);

impl Fronts {
    fn choose() -> Result<Self> {
        let mut ports = [0; Front::ALL.len()];
        for port in &mut ports {
            *port = net::free_port(LOOPBACK)?;
        }
        Ok(Self(ports))
    }

    fn of(self, front: Front) -> SocketAddr {
        SocketAddr::new(LOOPBACK, self.0[front.at()])
    }
}

/// Self-signed certificates with their keys, in files.
#[derive(Debug)]
pub(super) struct Certificates {
    rsa: PathBuf,
    p256: PathBuf,
}

impl Certificates {
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let make = |name: &str, key: &[&str]| -> Result<PathBuf> {
            let path = dir.join(name);
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=bench.test"]).args(key);
            command
                .arg("-keyout")
                .arg(path.with_extension("key"))
                .arg("-out")
                .arg(path.with_extension("crt"));
            run_quietly(&mut command)?;
            let pem = [path.with_extension("crt"), path.with_extension("key")].map(std::fs::read);
            let [certificate, key] = pem;
            // HAProxy wants both in one.
            std::fs::write(path.with_extension("pem"), [certificate?, key?].concat())?;
            Ok(path)
        };
        Ok(Self {
            rsa: make("rsa", &["-newkey", "rsa:2048"])?,
            p256: make("p256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])?,
        })
    }

    fn spec(path: &Path) -> Result<CertificateSpec> {
        let der = |kind: &str, from: &str| -> Result<Vec<u8>> {
            let to = path.with_extension("der");
            let mut command = Command::new("openssl");
            command
                .arg(kind)
                .arg("-in")
                .arg(path.with_extension(from))
                .args(["-outform", "DER", "-out"])
                .arg(&to);
            run_quietly(&mut command)?;
            Ok(std::fs::read(to)?)
        };
        Ok(CertificateSpec {
            chain: vec![Der(der("x509", "crt")?)],
            key: KeySpec::new(&der("pkey", "key")?),
            names: vec!["bench.test".to_owned()],
            staple: None,
        })
    }
}

/// The one cipher of TLS 1.3 all sides speak, so that none is faster by another.
const CIPHER: Cipher = Cipher::Aes128GcmSha256;
/// How long a client may be silent, in seconds.
const PATIENCE: u32 = 300;

pub(super) fn haproxy(ground: &Ground) -> Result<Side> {
    let Ground { members, certificates, cpus, clients, .. } = ground;
    let dir = ground.dir();
    let fronts = Fronts::choose()?;
    let mut servers = String::new();
    for (index, member) in members.iter().enumerate() {
        writeln!(servers, "    server m{index} {member} weight 1")?;
    }
    let config = format!(
        "global
    nbthread 1
    maxconn {clients}
    no strict-limits
    ssl-default-bind-ciphersuites {CIPHER}
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    no log
    option splice-auto
    option http-keep-alive
    timeout client {PATIENCE}s
    timeout connect 5000
    timeout server 50000
frontend http
    mode http
    bind {http}
    bind {rsa} ssl crt {rsa_pem} alpn http/1.1
    bind {p256} ssl crt {p256_pem} alpn http/1.1
    bind {http2} ssl crt {p256_pem} alpn h2
    default_backend http-pool
backend http-pool
    mode http
    http-reuse always
    balance roundrobin
{servers}frontend tcp
    mode tcp
    bind {tcp}
    default_backend tcp-pool
backend tcp-pool
    mode tcp
    balance roundrobin
{servers}",
        http = fronts.of(Front::Http),
        rsa = fronts.of(Front::HttpsRsa2048),
        p256 = fronts.of(Front::HttpsP256),
        http2 = fronts.of(Front::Http2),
        tcp = fronts.of(Front::Tcp),
        rsa_pem = certificates.rsa.with_extension("pem").display(),
        p256_pem = certificates.p256.with_extension("pem").display(),
    );
    let path = dir.join("haproxy-tuned.cfg");
    std::fs::write(&path, config)?;
    let mut command = on_cpu(cpus.measured, &program("haproxy"));
    command.arg("-db").arg("-f").arg(path);
    let server = Server::start(command, fronts.of(Front::Http), &dir.join("haproxy-tuned.log"))?;
    Ok(Side { name: "HAProxy", server, fronts })
}

pub(super) fn nginx(ground: &Ground) -> Result<Side> {
    let Ground { members, certificates, cpus, clients, .. } = ground;
    let fronts = Fronts::choose()?;
    let mut servers = String::new();
    for member in members {
        writeln!(servers, "    server {member};")?;
    }
    // A directory of its own: the members are an nginx, too.
    let dir = ground.dir().join("nginx-proxy");
    std::fs::create_dir_all(&dir)?;
    let here = dir.display();
    let mut fronts_text = String::new();
    for (front, certificate) in [
        (Front::Http, None),
        (Front::HttpsRsa2048, Some(&certificates.rsa)),
        (Front::HttpsP256, Some(&certificates.p256)),
        (Front::Http2, Some(&certificates.p256)),
    ] {
        let address = fronts.of(front);
        let tls = certificate.map_or(String::new(), |path| {
            format!(
                "    ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {CIPHER};
",
                path.with_extension("crt").display(),
                path.with_extension("key").display(),
            )
        });
        let ssl = match front {
            Front::Http2 => " ssl http2",
            _ if certificate.is_some() => " ssl",
            _ => "",
        };
        write!(
            fronts_text,
            "  server {{
    listen {address}{ssl};
{tls}    location / {{
      proxy_pass http://pool;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
"
        )?;
    }
    let config = format!(
        "daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout {PATIENCE}s;
  keepalive_requests 1000000000;
  proxy_buffer_size 16k;
  proxy_buffers 16 32k;
  proxy_max_temp_file_size 0;
  client_body_temp_path {here}/tmp; proxy_temp_path {here}/tmp; fastcgi_temp_path {here}/tmp;
  uwsgi_temp_path {here}/tmp; scgi_temp_path {here}/tmp;
  upstream pool {{
{servers}    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }}
{fronts_text}}}
",
        // Those with members are counted, too.
        connections = clients + 4_096,
    );
    let path = dir.join("nginx.conf");
    std::fs::write(&path, config)?;
    let mut command = on_cpu(cpus.measured, &program("nginx"));
    command.arg("-e").arg(dir.join("error.log")).arg("-p").arg(&dir).arg("-c").arg(path);
    let server = Server::start(command, fronts.of(Front::Http), &dir.join("nginx.log"))?;
    Ok(Side { name: "nginx", server, fronts })
}

/// The data plane alone, with the specification the controller would push.
pub(super) fn ours(ground: &Ground, binary: &Path) -> Result<Side> {
    ours_on(ground, binary, &[ground.cpus.measured], 1)
}

/// With so many threads, on these CPUs.
pub(super) fn ours_on(ground: &Ground, binary: &Path, cpus: &[usize], threads: u16) -> Result<Side> {
    let fronts = Fronts::choose()?;
    let path = ground.dir().join(format!("dataplane-{threads}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(&spec(fronts, &ground.members, &ground.certificates)?)?)?;
    let mut command = on_cpus(cpus, binary);
    command.arg("proxy").arg("--spec").arg(path).args(["--threads", &threads.to_string()]);
    let log = ground.dir().join(format!("ours-dataplane-{threads}.log"));
    let server = Server::start(command, fronts.of(Front::Http), &log)?;
    Ok(Side { name: "ours", server, fronts })
}

fn spec(fronts: Fronts, members: &[SocketAddr], certificates: &Certificates) -> Result<AmphoraSpec> {
    let pool = |protocol| PoolSpec {
        id: PoolId::new_v4(),
        protocol,
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members.iter().map(member).collect(),
        monitor: None,
        tls: None,
    };
    let pools = [pool(PoolProtocol::Http), pool(PoolProtocol::Tcp)];
    let listener = |front: Front, protocol, pool: &PoolSpec, certificate: Option<&Path>| {
        let alpn = if front == Front::Http2 { "h2" } else { "http/1.1" };
        anyhow::Ok(ListenerSpec {
            id: ListenerId::new_v4(),
            protocol,
            port: fronts.of(front).port(),
            connection_limit: None,
            default_pool: Some(pool.id),
            insert_headers: vec![],
            timeouts: TimeoutsSpec {
                client_data: PATIENCE * 1_000,
                member_connect: Timeouts::DEFAULT.member_connect,
                member_data: Timeouts::DEFAULT.member_data,
                tcp_inspect: Timeouts::DEFAULT.tcp_inspect,
            },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: certificate.map(|certificate| tls(certificate, alpn)).transpose()?,
        })
    };
    let [http, tcp] = &pools;
    let listeners = vec![
        listener(Front::Http, ListenerProtocol::Http, http, None)?,
        listener(Front::HttpsRsa2048, ListenerProtocol::TerminatedHttps, http, Some(&certificates.rsa))?,
        listener(Front::HttpsP256, ListenerProtocol::TerminatedHttps, http, Some(&certificates.p256))?,
        listener(Front::Http2, ListenerProtocol::TerminatedHttps, http, Some(&certificates.p256))?,
        listener(Front::Tcp, ListenerProtocol::Tcp, tcp, None)?,
    ];
    Ok(AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::new_v4(),
        load_balancer_id: LoadBalancerId::new_v4(),
        generation: 1,
        fence: 1,
        vips: vec![LOOPBACK],
        listeners,
        pools: pools.to_vec(),
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    })
}

fn tls(certificate: &Path, alpn: &str) -> Result<TlsSpec> {
    Ok(TlsSpec {
        identity: Some(IdentitySpec {
            certificates: vec![Certificates::spec(certificate).context("a certificate")?],
            client_authorities: vec![],
            client_revocations: vec![],
        }),
        versions: vec![TlsVersion::Tls13],
        ciphers: vec![CIPHER],
        alpn: vec![alpn.to_owned()],
        client_authentication: ClientAuthentication::None,
        hsts: None,
        fault: None,
    })
}
