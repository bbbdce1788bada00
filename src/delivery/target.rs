//! Where a delivery goes: a URL, its query parameters and extra headers, with secrets by reference.
//!
//! A [`Target`] can be stored and shown. [`Target::resolve`] looks up the secrets for one command; a [`Resolved`] is
//! never stored.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::delivery::signing::Signing;
use crate::secret::safe_url::{self, BaseUrl, UrlError};
use crate::secret::{
    MASK, Redactor, Secret, SecretError, SecretSource, Variables, credentials_in_header,
};
use crate::signature::Signer;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// May be stored and shown.
    #[serde(rename = "value")]
    Public(String),
    /// Only its source may be stored and shown.
    #[serde(rename = "secret")]
    Secret(SecretSource),
}

/// A query parameter or header. The journal stores it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Empty for a query part without `=`, for example `debug` in `?debug`.
    pub name: String,
    #[serde(flatten)]
    pub value: Value,
    /// The pair as the user wrote it in a URL's query, so that it is sent unchanged. Never stored.
    #[serde(skip)]
    pub spelling: Option<Secret>,
}

impl Param {
    pub fn public(name: impl Into<String>, value: impl Into<String>) -> Param {
        Param::new(name, Value::Public(value.into()))
    }

    pub fn secret(name: impl Into<String>, source: SecretSource) -> Param {
        Param::new(name, Value::Secret(source))
    }

    fn new(name: impl Into<String>, value: Value) -> Param {
        Param {
            name: name.into(),
            value,
            spelling: None,
        }
    }

    fn is_secret(&self) -> bool {
        matches!(self.value, Value::Secret(_))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub base: BaseUrl,
    pub params: Vec<Param>,
    pub headers: Vec<Param>,
    /// None if its requests are not signed.
    pub signing: Option<Signing>,
}

/// The part of a target that a secret belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPart {
    Query,
    Header,
    Signature,
}

impl RequestPart {
    fn is_same_name(self, one: &str, other: &str) -> bool {
        match self {
            RequestPart::Query | RequestPart::Signature => one == other,
            RequestPart::Header => one.eq_ignore_ascii_case(other),
        }
    }
}

/// A secret that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("no usable value for the secret {}: {source}", self.described())]
pub struct MissingSecret {
    pub name: String,
    pub part: RequestPart,
    pub source: SecretError,
}

impl MissingSecret {
    pub fn not_stored(part: RequestPart, param: &Param) -> MissingSecret {
        MissingSecret {
            name: param.name.clone(),
            part,
            source: SecretError::NotStored,
        }
    }

    pub fn signing(source: SecretError) -> MissingSecret {
        MissingSecret {
            name: String::new(),
            part: RequestPart::Signature,
            source,
        }
    }

    /// For example ``parameter `token` ``.
    pub fn described(&self) -> String {
        match self.part {
            RequestPart::Query if self.name.is_empty() => "in the URL's query".to_owned(),
            RequestPart::Query => format!("parameter `{}`", self.name),
            RequestPart::Header => format!("header `{}`", self.name),
            RequestPart::Signature => "that signs the requests".to_owned(),
        }
    }

    /// The command-line option that supplies the value.
    pub fn flag(&self) -> String {
        match self.part {
            RequestPart::Query if self.name.is_empty() => "--url URL".to_owned(),
            RequestPart::Query => format!("--secret {}=@env:VARIABLE", self.name),
            RequestPart::Header => format!("--header '{}: @env:VARIABLE'", self.name),
            RequestPart::Signature => "--signing-secret @env:VARIABLE".to_owned(),
        }
    }
}

/// A target with the values of its secrets, ready for a request.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub base: BaseUrl,
    pub url: Secret,
    pub headers: Vec<(String, Secret)>,
    pub signer: Option<Signer>,
    pub redactor: Arc<Redactor>,
}

impl Resolved {
    pub fn has_header(&self, name: &str) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

impl Target {
    /// The URL alone, without parameters, headers and signature.
    pub fn new(base: BaseUrl) -> Target {
        Target {
            base,
            params: Vec::new(),
            headers: Vec::new(),
            signing: None,
        }
    }

    /// Parses a URL that the user typed. Treats every value in its query as a secret.
    pub fn from_url(text: &str) -> Result<Target, UrlError> {
        let (base, pairs) = BaseUrl::parse(text)?;
        let params = pairs
            .into_iter()
            .map(|pair| Param {
                name: pair.name,
                value: Value::Secret(SecretSource::Literal(pair.value)),
                spelling: Some(pair.spelling),
            })
            .collect();
        Ok(Target {
            params,
            ..Target::new(base)
        })
    }

    /// Takes a URL as a portal lists it. User information is sent as a Basic credential, a fragment is not sent. Text that is
    /// not a URL is kept: see [`BaseUrl::is_url`].
    pub fn from_list(text: &str) -> Target {
        let split = || {
            let (url, credential) = safe_url::split_user_info(text)?;
            let mut target = Target::from_url(&url).ok()?;
            let source = credential.map(SecretSource::Literal);
            let header = source.map(|source| Param::secret("authorization", source));
            target.headers.extend(header);
            Some(target)
        };
        let unusable = || Target::new(BaseUrl::parse_lossy(text));
        match Target::from_url(text) {
            Ok(target) => target,
            Err(UrlError::UserInfo | UrlError::Fragment) => split().unwrap_or_else(unusable),
            Err(_) => unusable(),
        }
    }

    /// Replaces the query parameter of that name, or appends it.
    pub fn set_param(&mut self, param: Param) {
        set(RequestPart::Query, &mut self.params, param);
    }

    /// Replaces the header of that name, in any case, or appends it.
    pub fn set_header(&mut self, header: Param) {
        set(RequestPart::Header, &mut self.headers, header);
    }

    /// A copy of `elsewhere` with this target's public parameters and headers added, unless it is the header `Host` or
    /// `elsewhere` has one of the same name. Secrets are not copied, because another server must not receive them; nor is a
    /// signature made for it.
    pub fn moved_to(&self, elsewhere: &Target) -> Target {
        let mut target = elsewhere.clone();
        let given = elsewhere.lists();
        for ((list, (part, own)), (_, given)) in
            target.lists_mut().into_iter().zip(self.lists()).zip(given)
        {
            let is_given = |name: &str| {
                given
                    .iter()
                    .any(|other| part.is_same_name(&other.name, name))
            };
            // The other server has a name of its own.
            let is_host =
                |name: &str| part == RequestPart::Header && name.eq_ignore_ascii_case("host");
            let public = own
                .iter()
                .filter(|param| !param.is_secret() && !is_host(&param.name));
            list.extend(public.filter(|param| !is_given(&param.name)).cloned());
        }
        target
    }

    /// The names of this target's secrets for which `other` has no parameter or header.
    pub fn secrets_missing_in(&self, other: &Target) -> Vec<&str> {
        let mut missing = Vec::new();
        for ((part, own), (_, others)) in self.lists().into_iter().zip(other.lists()) {
            let is_missing = |name: &str| {
                !others
                    .iter()
                    .any(|other| part.is_same_name(&other.name, name))
            };
            let names = own
                .iter()
                .filter(|param| param.is_secret())
                .map(|param| param.name.as_str());
            missing.extend(names.filter(|name| is_missing(name)));
        }
        missing
    }

    /// Replaces each secret by the value of the same name in `configured`. If a name occurs several times, the first
    /// replaces the first, and so on. Signing secrets are replaced if the scheme is the same.
    pub fn refresh_secrets(&mut self, configured: &Target) {
        if let (Some(own), Some(configured)) = (&mut self.signing, &configured.signing)
            && own.scheme == configured.scheme
            && !configured.secrets.is_empty()
        {
            own.secrets.clone_from(&configured.secrets);
        }
        for (list, (part, configured)) in self.lists_mut().into_iter().zip(configured.lists()) {
            let mut unused: Vec<&Param> = configured.iter().collect();
            for param in list.iter_mut().filter(|param| param.is_secret()) {
                let is_same = |other: &&Param| part.is_same_name(&other.name, &param.name);
                if let Some(at) = unused.iter().position(is_same) {
                    *param = unused.remove(at).clone();
                }
            }
        }
    }

    /// Marks references to secrets as untrusted: they are not resolved unless [`Target::refresh_secrets`] replaces them.
    pub fn distrust_secrets(&mut self) {
        let signing = self.signing.iter_mut();
        for source in signing.flat_map(|signing| &mut signing.secrets) {
            source.distrust();
        }
        for param in self.lists_mut().into_iter().flatten() {
            if let Value::Secret(source) = &mut param.value {
                source.distrust();
            }
        }
    }

    /// Whether `other` is the same but for the sources of its secrets, which are not stored if they are literals.
    pub fn is_same_without_secrets(&self, other: &Target) -> bool {
        let is_same = |(own, other): (&Param, &Param)| {
            let both_secret = own.is_secret() && other.is_secret();
            own.name == other.name && (both_secret || own.value == other.value)
        };
        let scheme = |target: &Target| {
            target
                .signing
                .as_ref()
                .map(|signing| signing.scheme.clone())
        };
        let mut lists = self.lists().into_iter().zip(other.lists());
        self.base == other.base
            && scheme(self) == scheme(other)
            && lists.all(|((_, own), (_, others))| {
                own.len() == others.len() && own.iter().zip(others).all(is_same)
            })
    }

    /// The secrets that a later process cannot look up: they have no reference, and `configured` does not have them.
    pub fn secrets_not_stored(&self, configured: Option<&Target>) -> Vec<(RequestPart, &Param)> {
        let is_configured = |part: RequestPart, param: &Param| {
            let mut lists = configured.into_iter().flat_map(Target::lists);
            lists.any(|(other, list)| other == part && list.contains(param))
        };
        let lists = self.lists().into_iter();
        let all = lists.flat_map(|(part, list)| list.iter().map(move |param| (part, param)));
        all.filter(|(part, param)| {
            matches!(&param.value, Value::Secret(source) if source.reference().is_none())
                && !is_configured(*part, param)
        })
        .collect()
    }

    /// Whether a later process cannot look up a signing secret, as with [`Target::secrets_not_stored`].
    pub fn signing_secret_not_stored(&self, configured: Option<&Target>) -> bool {
        let Some(signing) = &self.signing else {
            return false;
        };
        let configured = configured.and_then(|configured| configured.signing.as_ref());
        let mut sources = signing.secrets.iter();
        sources.any(|source| source.reference().is_none()) && configured != Some(signing)
    }

    /// The secrets that are sent; those that sign are not among them.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let all = self.params.iter().chain(&self.headers);
        all.filter_map(|param| match &param.value {
            Value::Secret(source) => Some(source),
            Value::Public(_) => None,
        })
    }

    /// The headers of a signature as they may be shown.
    pub fn masked_signature(&self) -> Vec<(String, String)> {
        let Some(signing) = &self.signing else {
            return Vec::new();
        };
        let mut headers = signing.scheme.masked_headers("(the time of the attempt)");
        headers.retain(|(name, _)| {
            let mut own = self.headers.iter();
            !own.any(|header| RequestPart::Header.is_same_name(&header.name, name))
        });
        headers
    }

    fn lists(&self) -> [(RequestPart, &Vec<Param>); 2] {
        [
            (RequestPart::Query, &self.params),
            (RequestPart::Header, &self.headers),
        ]
    }

    fn lists_mut(&mut self) -> [&mut Vec<Param>; 2] {
        [&mut self.params, &mut self.headers]
    }

    /// Looks up every secret. An error names the first that cannot be resolved.
    pub fn resolve(&self, variables: &dyn Variables) -> Result<Resolved, MissingSecret> {
        let mut redactor = Redactor::default();
        let mut look_up = |named: &Param, part: RequestPart| match &named.value {
            Value::Public(value) => Ok(Secret::new(value)),
            Value::Secret(source) => {
                let value = source.resolve(variables).map_err(|source| MissingSecret {
                    name: named.name.clone(),
                    part,
                    source,
                })?;
                redactor.add([&value].into_iter().chain(&credentials_in_header(&value)));
                Ok(value)
            }
        };
        let mut query = Vec::with_capacity(self.params.len());
        for param in &self.params {
            let value = look_up(param, RequestPart::Query)?;
            query.push(match &param.spelling {
                Some(spelling) => spelling.expose().to_owned(),
                None => safe_url::encode_pair(&param.name, value.expose()),
            });
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            let value = look_up(header, RequestPart::Header)?;
            if value.expose().chars().any(|c| c.is_control() && c != '\t') {
                return Err(MissingSecret {
                    name: header.name.clone(),
                    part: RequestPart::Header,
                    source: SecretError::Control,
                });
            }
            headers.push((header.name.clone(), value));
        }
        let signer = match &self.signing {
            Some(signing) => {
                let (signer, secrets) =
                    signing.resolve(variables).map_err(MissingSecret::signing)?;
                redactor.add(&secrets);
                signer.mask_keys_in(&mut redactor);
                Some(signer)
            }
            None => None,
        };
        let query = query.join("&");
        let query = Some(query.as_str()).filter(|query| !query.is_empty());
        Ok(Resolved {
            base: self.base.clone(),
            url: Secret::new(self.base.with_path(self.base.path(), query)),
            headers,
            signer,
            redactor: Arc::new(redactor),
        })
    }
}

fn set(part: RequestPart, list: &mut Vec<Param>, param: Param) {
    let is_same = |other: &&mut Param| part.is_same_name(&other.name, &param.name);
    match list.iter_mut().find(is_same) {
        Some(existing) => *existing = param,
        None => list.push(param),
    }
}

/// The URL, secret values masked.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        for (i, param) in self.params.iter().enumerate() {
            let separator = if i == 0 { '?' } else { '&' };
            let shown = match &param.value {
                Value::Public(value) => safe_url::encode_pair(&param.name, value),
                Value::Secret(_) if param.name.is_empty() => MASK.to_owned(),
                Value::Secret(_) => format!("{}{MASK}", safe_url::encode_pair(&param.name, "")),
            };
            write!(f, "{separator}{shown}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::TestVariables;
    use crate::signature::Scheme;

    const NO_VARIABLES: TestVariables = TestVariables(&[]);

    fn literal(name: &str, value: &str) -> Param {
        Param::secret(name, SecretSource::parse(value).unwrap())
    }

    #[test]
    fn own_query_is_sent_as_written_and_shown_masked() {
        let mut target = Target::from_url("https://h/hook?token=a%2Bb&debug").unwrap();
        target.set_param(Param::public("mode", "x y"));
        assert_eq!(target.to_string(), "https://h/hook?token=***&***&mode=x+y");
        let resolved = target.resolve(&NO_VARIABLES).unwrap();
        assert_eq!(
            resolved.url.expose(),
            "https://h/hook?token=a%2Bb&debug&mode=x+y"
        );
        assert_eq!(
            resolved.redactor.redact("got a+b and debug"),
            "got *** and ***"
        );
    }

    #[test]
    fn later_parameter_replaces_an_earlier_one() {
        let mut target = Target::from_url("https://h/?a=1&b=2").unwrap();
        target.set_param(literal("a", "new secret"));
        assert_eq!(
            target.resolve(&NO_VARIABLES).unwrap().url.expose(),
            "https://h/?a=new+secret&b=2"
        );
    }

    #[test]
    fn moved_target_keeps_public_values_only() {
        let mut own = Target::from_url("https://h/?token=one").unwrap();
        own.set_param(Param::public("mode", "test"));
        own.set_header(Param::public("X-Source", "ci"));
        own.set_header(Param::public("host", "virtual.example"));
        own.set_header(literal("Authorization", "Bearer x"));
        let mut elsewhere = Target::from_url("https://other/").unwrap();
        elsewhere.set_header(Param::public("x-source", "there"));
        let sent = own.moved_to(&elsewhere);
        assert_eq!(
            sent.resolve(&NO_VARIABLES).unwrap().url.expose(),
            "https://other/?mode=test"
        );
        assert_eq!(sent.headers, elsewhere.headers);
        assert_eq!(own.secrets_missing_in(&sent), ["token", "Authorization"]);
    }

    #[test]
    fn a_parameter_of_another_case_does_not_replace_a_secret() {
        let own = Target::from_url("https://h/?token=one").unwrap();
        let other = Target::from_url("https://other/?Token=two").unwrap();
        assert_eq!(own.secrets_missing_in(&other), ["token"]);
    }

    #[test]
    fn secrets_are_refreshed_by_name_in_order() {
        let mut kept = Target::from_url("https://h/?a=old&a=old&A=old&p=old").unwrap();
        kept.refresh_secrets(&Target::from_url("https://h/?a=1&a=2&A=%33").unwrap());
        assert_eq!(
            kept.resolve(&NO_VARIABLES).unwrap().url.expose(),
            "https://h/?a=1&a=2&A=%33&p=old"
        );
    }

    fn signed(scheme: &str, reference: &str) -> Target {
        let scheme: &'static Scheme = scheme.parse().unwrap();
        let mut target = Target::from_url("https://h/").unwrap();
        target.signing = Some(Signing {
            scheme: scheme.clone(),
            secrets: vec![SecretSource::parse(reference).unwrap()],
        });
        target
    }

    #[test]
    fn signing_secrets_are_refreshed_within_a_scheme() {
        let mut kept = signed("github", "@env:OLD");
        kept.refresh_secrets(&signed("stripe", "@env:NEW"));
        assert_eq!(kept, signed("github", "@env:OLD"));
        kept.refresh_secrets(&signed("github", "@env:NEW"));
        assert_eq!(kept, signed("github", "@env:NEW"));
        let mut unsigned = Target::from_url("https://h/").unwrap();
        unsigned.refresh_secrets(&kept);
        assert_eq!(unsigned.signing, None);
        assert_eq!(kept.moved_to(&unsigned).signing, None);
    }

    #[test]
    fn untrusted_signing_secrets_are_not_looked_up() {
        let mut target = signed("github", "@env:HOME");
        target.distrust_secrets();
        let missing = target.resolve(&TestVariables(&[("HOME", "x")]));
        let missing = missing.unwrap_err();
        assert!(matches!(missing.source, SecretError::Untrusted(_)));
        assert_eq!(missing.flag(), "--signing-secret @env:VARIABLE");
        // The configuration is trusted.
        target.refresh_secrets(&signed("github", "@env:HOME"));
        let resolved = target.resolve(&TestVariables(&[("HOME", "x")]));
        assert!(resolved.unwrap().signer.is_some());
    }

    #[test]
    fn literal_signing_secret_is_kept_only_by_the_configuration() {
        let literal = signed("github", "literal");
        assert!(literal.signing_secret_not_stored(None));
        assert!(!literal.signing_secret_not_stored(Some(&literal)));
        assert!(literal.signing_secret_not_stored(Some(&signed("github", "other"))));
        assert!(!signed("github", "@env:A").signing_secret_not_stored(None));
    }

    #[test]
    fn targets_are_compared_without_secrets() {
        let target = |url| Target::from_url(url).unwrap();
        let own = target("https://h/?token=one");
        assert!(own.is_same_without_secrets(&target("https://h/?token=two")));
        for other in ["https://h/?key=one", "https://h/x?token=one", "https://h/"] {
            assert!(!own.is_same_without_secrets(&target(other)), "{other}");
        }
        let mut public = own.clone();
        public.set_param(Param::public("token", "one"));
        assert!(!own.is_same_without_secrets(&public));
        let (github, stripe) = (signed("github", "a"), signed("stripe", "a"));
        assert!(github.is_same_without_secrets(&signed("github", "@env:A")));
        assert!(!github.is_same_without_secrets(&stripe));
    }

    #[test]
    fn missing_secret_names_its_option() {
        let mut target = Target::from_url("https://h/").unwrap();
        target.set_param(Param::secret("token", SecretSource::NotStored));
        let missing = target.resolve(&NO_VARIABLES).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no usable value for the secret parameter `token`: its value was given literally, and values are never stored"
        );
        assert_eq!(missing.flag(), "--secret token=@env:VARIABLE");
    }

    #[test]
    fn bearer_token_is_masked_without_its_scheme() {
        let mut target = Target::from_url("https://h/").unwrap();
        target.set_header(literal("Authorization", "Bearer abcdef"));
        let redactor = target.resolve(&NO_VARIABLES).unwrap().redactor;
        assert_eq!(redactor.redact("bad token abcdef"), "bad token ***");
    }
}
