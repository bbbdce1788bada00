//! How the requests of a delivery are signed: the scheme, and its secrets by reference.

use serde::{Deserialize, Serialize};

use crate::secret::{Secret, SecretError, SecretSource, Variables};
use crate::signature::{Key, MalformedSecret, Scheme, Signer};

/// Can be stored and shown: as JSON, its secrets are references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signing {
    pub scheme: Scheme,
    /// More than one while a secret is replaced by another.
    pub secrets: Vec<SecretSource>,
}

impl Signing {
    /// Looks up the signing secrets and returns them together with the signer, for masking.
    pub fn resolve(&self, variables: &dyn Variables) -> Result<(Signer, Vec<Secret>), SecretError> {
        if self.secrets.is_empty() {
            return Err(SecretError::NotGiven);
        }
        let secrets = self.secrets.iter().map(|source| source.resolve(variables));
        let secrets: Vec<Secret> = secrets.collect::<Result<_, _>>()?;
        let keys = secrets.iter().map(|secret| Key::new(&self.scheme, secret));
        let keys: Result<Vec<Key>, MalformedSecret> = keys.collect();
        let keys = keys.map_err(|_| SecretError::NotBase64)?;
        Ok((Signer::new(self.scheme.clone(), keys), secrets))
    }
}

/// What the user's options say, over the signing of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SigningOptions {
    pub scheme: Option<Scheme>,
    pub secrets: Vec<SecretSource>,
}

impl SigningOptions {
    /// How a target is signed with these options. Secrets alone sign nothing.
    pub fn over(&self, own: Option<Signing>) -> Option<Signing> {
        let mut signing = match (&self.scheme, own) {
            (None, own) => own?,
            (Some(scheme), own) => Signing {
                scheme: scheme.clone(),
                secrets: own.map_or(Vec::new(), |own| own.secrets),
            },
        };
        if !self.secrets.is_empty() {
            signing.secrets.clone_from(&self.secrets);
        }
        Some(signing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::TestVariables;

    fn standard(text: &str) -> Signing {
        let scheme: &'static Scheme = "standard".parse().unwrap();
        Signing {
            scheme: scheme.clone(),
            secrets: vec![SecretSource::parse(text).unwrap()],
        }
    }

    #[test]
    fn stored_form_has_references_only() {
        let stored = serde_json::to_string(&standard("canary-5f1")).unwrap();
        assert_eq!(stored, r#"{"scheme":"standard","secrets":[null]}"#);
        let stored = serde_json::to_string(&standard("@env:WHSEC")).unwrap();
        assert_eq!(stored, r#"{"scheme":"standard","secrets":["@env:WHSEC"]}"#);
        let read: Signing = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, standard("@env:WHSEC"));
    }

    #[test]
    fn options_win_over_the_own_scheme_and_secrets() {
        let own = || Some(standard("@env:OWN"));
        let github: &'static Scheme = "github".parse().unwrap();
        let secret = || vec![SecretSource::parse("@env:GIVEN").unwrap()];
        let none = SigningOptions::default();
        assert_eq!(none.over(own()), own());
        let secrets = SigningOptions {
            scheme: None,
            secrets: secret(),
        };
        assert_eq!(secrets.over(own()), Some(standard("@env:GIVEN")));
        assert_eq!(secrets.over(None), None);
        let scheme = SigningOptions {
            scheme: Some(github.clone()),
            secrets: Vec::new(),
        };
        let signing = scheme.over(own()).unwrap();
        assert_eq!(signing.scheme.name(), "github");
        assert_eq!(signing.secrets, standard("@env:OWN").secrets);
        assert!(scheme.over(None).unwrap().secrets.is_empty());
    }

    #[test]
    fn unusable_secrets_are_explained() {
        let none = TestVariables(&[]);
        let error = |signing: Signing| signing.resolve(&none).err().unwrap();
        assert!(matches!(
            error(standard("whsec_canary")),
            SecretError::NotBase64
        ));
        assert!(matches!(error(standard("@env:WHSEC")), SecretError::Env(_)));
        let mut empty = standard("x");
        empty.secrets.clear();
        assert!(matches!(error(empty), SecretError::NotGiven));
    }
}
