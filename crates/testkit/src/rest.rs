//! A REST client that knows the wire and nothing else: tokens from Keystone v3, endpoints from its catalogue.

use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
pub use reqwest::Method;
use serde_json::{Value, json};

use crate::origin::lock;
use crate::wait_for;

/// An answer that may be an error: tests look at both.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `Null` when the body is empty.
    pub body: Value,
}

impl Answer {
    /// The body of a 2xx answer.
    pub fn good(self) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "answered {}: {}", self.status, self.body);
        Ok(self.body)
    }
}

#[derive(Debug)]
pub struct Rest {
    http: reqwest::Client,
    /// `None` = the token was given, and there is no other.
    login: Option<Login>,
    session: Mutex<Session>,
}

#[derive(Debug, Clone)]
struct Login {
    auth_url: String,
    body: Value,
}

#[derive(Debug, Clone, Default)]
struct Session {
    token: String,
    load_balancer: String,
    network: String,
    /// Empty where there is none.
    key_manager: String,
}

/// One cloud of a `clouds.yaml`.
pub(crate) fn cloud_read(clouds_yaml: &Path, cloud: &str) -> Result<Value> {
    let text = std::fs::read_to_string(clouds_yaml).with_context(|| clouds_yaml.display().to_string())?;
    let file: Value = serde_norway::from_str(&text)?;
    let found = file["clouds"].get(cloud).cloned();
    found.with_context(|| format!("no cloud {cloud} in clouds.yaml"))
}

impl Rest {
    /// Logs in as a cloud of a `clouds.yaml`.
    pub async fn login(clouds_yaml: &Path, cloud: &str) -> Result<Self> {
        let cloud = cloud_read(clouds_yaml, cloud)?;
        let auth = &cloud["auth"];
        let word = |key: &str| auth[key].as_str().with_context(|| format!("no auth.{key} in clouds.yaml"));
        let domain = |key: &str| {
            let name = auth[format!("{key}_domain_name")].as_str();
            match auth[format!("{key}_domain_id")].as_str() {
                Some(id) => json!({"id": id}),
                None => json!({"name": name.unwrap_or("Default")}),
            }
        };
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": word("username")?, "password": word("password")?, "domain": domain("user"),
            }}},
            "scope": {"project": {"name": word("project_name")?, "domain": domain("project")}},
        }});
        // Both forms are usual: with the version, and without it for clients that discover versions.
        let auth_url = word("auth_url")?.trim_end_matches('/').trim_end_matches("/v3");
        let login = Login { auth_url: format!("{auth_url}/v3"), body };
        let http = client()?;
        let session = login.session(&http).await?;
        Ok(Self { http, login: Some(login), session: Mutex::new(session) })
    }

    /// With a token got elsewhere (empty where none is asked for), for an endpoint without version, such as
    /// `http://127.0.0.1:9876`.
    pub fn with_token(endpoint: &str, token: &str) -> Result<Self> {
        let load_balancer = format!("{}/v2.0", endpoint.trim_end_matches('/'));
        let session = Session { token: token.to_owned(), load_balancer, ..Session::default() };
        Ok(Self { http: client()?, login: None, session: Mutex::new(session) })
    }

    /// The token in use.
    pub fn token(&self) -> String {
        lock(&self.session).token.clone()
    }

    /// Where the load-balancing API is, with its version.
    pub fn endpoint(&self) -> String {
        lock(&self.session).load_balancer.clone()
    }

    /// Calls the load-balancing API: `path` begins with `/lbaas` or `/octavia`. A 401 is answered by one new login.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.call_endpoint(method, |session| format!("{}{path}", session.load_balancer), body).await
    }

    /// Calls the networking API: `path` begins with `/v2.0`.
    pub async fn network_call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.call_endpoint(method, |session| format!("{}{path}", session.network), body).await
    }

    /// Calls the key manager: `path` begins with `/v1`.
    pub async fn secret_call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.call_endpoint(method, |session| format!("{}{path}", session.key_manager), body).await
    }

    /// Keeps a text in a secret; answers its reference.
    pub async fn secret_store(&self, name: &str, payload: &str) -> Result<String> {
        let body = json!({"name": name, "payload": payload, "payload_content_type": "text/plain"});
        let made = self.secret_call(Method::POST, "/v1/secrets", Some(&body)).await?.good()?;
        text(&made["secret_ref"])
    }

    pub async fn network_get(&self, path: &str) -> Result<Value> {
        self.network_call(Method::GET, path, None).await?.good()
    }

    async fn call_endpoint(
        &self,
        method: Method,
        url: impl Fn(&Session) -> String,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let session = lock(&self.session).clone();
        let answer = self.send(&method, &url(&session), &session.token, body).await?;
        let Some(login) = self.login.as_ref().filter(|_| answer.status == 401) else {
            return Ok(answer);
        };
        let session = login.session(&self.http).await?;
        *lock(&self.session) = session.clone();
        self.send(&method, &url(&session), &session.token, body).await
    }

    async fn send(&self, method: &Method, url: &str, token: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.http.request(method.clone(), url).header("X-Auth-Token", token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
        };
        Ok(Answer { status, body })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await?.good().with_context(|| format!("GET {path}"))
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await?.good().with_context(|| format!("POST {path}"))
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await?.good().with_context(|| format!("PUT {path}"))
    }

    pub async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.call(Method::DELETE, path, None).await?;
        answer.good().with_context(|| format!("DELETE {path}"))?;
        Ok(())
    }

    /// The id of the subnet with this name.
    pub async fn subnet_id(&self, name: &str) -> Result<String> {
        let answer = self.network_get("/v2.0/subnets").await?;
        let subnets = answer["subnets"].as_array().context("no subnets")?;
        let subnet = subnets.iter().find(|subnet| subnet["name"] == name);
        text(&subnet.with_context(|| format!("no subnet {name}"))?["id"])
    }

    pub async fn lb_create(&self, load_balancer: &Value) -> Result<Value> {
        let mut answer = self.post("/lbaas/loadbalancers", &json!({"loadbalancer": load_balancer})).await?;
        Ok(answer["loadbalancer"].take())
    }

    pub async fn lb_get(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/lbaas/loadbalancers/{id}")).await?["loadbalancer"].take())
    }

    /// Waits until the load balancer is ACTIVE; ERROR or its absence ends the waiting at once.
    pub async fn lb_active(&self, id: &str, limit: Duration) -> Result<Value> {
        let found = wait_for(&format!("load balancer {id} to be ACTIVE"), limit, async || {
            let load_balancer = self.lb_get(id).await.map_err(|error| format!("{error:#}"));
            match load_balancer {
                Ok(lb) if lb["provisioning_status"] == "ACTIVE" => Ok(Ok(lb)),
                Ok(lb) if lb["provisioning_status"] == "ERROR" => Ok(Err(format!("is in ERROR: {lb}"))),
                Err(error) if error.contains("answered 404") => Ok(Err(error)),
                Ok(lb) => Err(lb["provisioning_status"].to_string()),
                Err(error) => Err(error),
            }
        })
        .await?;
        found.map_err(|why| anyhow::anyhow!("load balancer {id} {why}"))
    }

    pub async fn lb_gone(&self, id: &str, limit: Duration) -> Result<()> {
        wait_for(&format!("load balancer {id} to be gone"), limit, async || {
            let answer = self.call(Method::GET, &format!("/lbaas/loadbalancers/{id}"), None).await;
            match answer.map_err(|error| format!("{error:#}"))? {
                answer if answer.status == 404 => Ok(()),
                answer => Err(format!("{} {}", answer.status, answer.body)),
            }
        })
        .await
    }

    /// Deletes with all children, and waits until it is gone.
    pub async fn lb_delete(&self, id: &str, limit: Duration) -> Result<()> {
        self.delete(&format!("/lbaas/loadbalancers/{id}?cascade=true")).await?;
        self.lb_gone(id, limit).await
    }

    /// `statuses.loadbalancer` of the status tree.
    pub async fn lb_status(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/lbaas/loadbalancers/{id}/status")).await?["statuses"]["loadbalancer"].take())
    }

    /// Waits until the status tree satisfies `wanted`; its `Err` says what is not there yet.
    pub async fn lb_status_wait(
        &self,
        id: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait_for(what, limit, async || {
            let tree = self.lb_status(id).await.map_err(|error| format!("{error:#}"))?;
            if wanted(&tree) { Ok(tree) } else { Err(tree.to_string()) }
        })
        .await
    }
}

impl Login {
    async fn session(&self, http: &reqwest::Client) -> Result<Session> {
        let response = http.post(format!("{}/auth/tokens", self.auth_url)).json(&self.body).send().await?;
        let status = response.status();
        let token = response.headers().get("X-Subject-Token").and_then(|token| token.to_str().ok());
        let token = token.map(str::to_owned);
        let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        let Some(token) = token.filter(|_| status.is_success()) else {
            bail!("login answered {status}: {body}");
        };
        let endpoint = |kind: &str| -> Result<String> {
            let services = body["token"]["catalog"].as_array().context("a token without a catalogue")?;
            let service = services.iter().find(|service| service["type"] == kind);
            let endpoints = service.and_then(|service| service["endpoints"].as_array());
            let public = endpoints.and_then(|all| all.iter().find(|e| e["interface"] == "public"));
            let url = text(&public.with_context(|| format!("no public endpoint of {kind}"))?["url"])?;
            Ok(url.trim_end_matches('/').to_owned())
        };
        let load_balancer = format!("{}/v2.0", endpoint("load-balancer")?);
        let key_manager = endpoint("key-manager").unwrap_or_default();
        Ok(Session { token, load_balancer, network: endpoint("network")?, key_manager })
    }
}

/// A client for plain HTTP on this machine: no proxy of the environment in between.
pub fn client() -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?)
}

/// A JSON string as text.
pub fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("not a string: {value}"))?.to_owned())
}
