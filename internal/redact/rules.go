package redact

// A rule is a shape of secrets: the literals that announce it and the finder that judges the text there.
type rule struct {
	name    string // kebab-case; rules may share a name
	anchors []string
	exact   bool     // the case of the anchors counts; else they are lower case and match any
	next    *byteSet // what may follow an anchor; nil for anything. It makes anchors of three bytes rarer
	find    finder
}

// builtin returns the rules. At one place the first that matches counts. Anchors have three bytes at least, and should begin with four
// that are rare in logs. Each rule has cases in testdata/mask.txt.
func builtin() []*rule {
	return []*rule{
		// Values of telling names. ~ stands for a joint: api~key is apikey, api_key, api-key, api.key, "api key".
		keys("password", key{password: true, sql: true}, "password", "passwords", "passwd", "passphrase", "passcode"),
		keys("password", key{password: true}, "pwd").before(alnum.not().with("0-9")),
		keys("password", key{password: true, whole: true}, "pass"),
		keys("password", key{password: true, spaced: true}, "requirepass", "masterauth"),
		keys("password", key{password: true, sql: true}, "identified by", "convertto-securestring", "convertto-securestring -string"),
		keys("password", key{nested: true}, "chpasswd"),
		keys("secret", key{}, "secret", "principal~file~content"),
		keys("token", key{}, "token"),
		keys("api-key", key{}, "api~key", "subscription~key", "functions~key", "instrumentation~key"),
		keys("access-key", key{}, "access~key", "secret~key", "account~key", "storage~key", "shared~key", "master~key",
			"encryption~key", "signing~key", "certificate~key", "workspace~key", "sas~key"),
		keys("access-key", key{spaced: true}, "accountkey", "sastoken"),
		keys("shared-access-signature", key{joints: "&"}, "shared~access~signature"),
		keys("connection-string", key{joints: ";"}, "connection~string", "conn~str", "conn~string"),
		keys(privateKeyRule, key{}, "private~key", "priv~key", "client-key-data"),
		keys("registry-auth", key{whole: true, valid: isUserPassword}, "auth"),
		keys("docker-config", key{}, "dockerconfigjson", "dockercfg"),
		keys("protected-settings", key{}, "protectedsettings", "customdata"),
		keys("authorization", key{header: true}, "authorization", "x-registry-auth"),
		keys("cookie", key{header: true, colon: true, whole: true}, "cookie"),
		keys("cloud-signature", key{}, "x-amz-signature", "x-goog-signature"),

		// Secrets with a shape of their own.
		{name: privateKeyRule, exact: true, anchors: []string{"-BEGIN ", "-BEGIN+", "-BEGIN%20"}, find: findPEM},
		{name: privateKeyRule, exact: true, anchors: []string{encodedPEM}, find: findEncodedPEM},
		{name: "jwt", exact: true, anchors: []string{"eyJ"}, next: alnum, find: findJWT},
		{name: "bearer-token", anchors: []string{"bearer ", "bearer%20"}, find: findBearer},
		{name: "basic-auth", anchors: []string{"basic ", "basic%20"}, find: findBasic},
		{name: "sas-signature", anchors: []string{"sig=", "sig%3d", "sig%253d", `sig\u003d`}, find: findSignature},
		keys("sas-signature", key{whole: true, valid: isSignature}, "sig").before(setOf("\"': \\")),
		{name: "url-password", anchors: []string{"://"}, next: authority, find: findUserinfo},
		{name: "url-password", anchors: []string{`:\/\`, `:\\/`, `:\\\`}, find: findUserinfo},
		{name: "url-password", anchors: []string{"@tcp(", "@unix("}, find: findDSN},
		{name: "bootstrap-token", anchors: []string{"."}, find: findBootstrap},
		{name: "user-password", anchors: []string{" -u ", "\x00-u", "u0000-u", "-user"}, find: findUserFlag},
		following("oauth-code", base64any.with("%."), 24, "?code=", "&code="),
		around("azure-client-secret", alnum.with("~._-"), 3, 31, "7Q~", "8Q~", "9Q~"),
		around("access-key", base64std, 76, 8, "+ASt", "+ACR", "+AEh", "ACDb", "+ARm", "AzCa", "AzSe", "AzFu"),
		exactly("aws-key", upperNum, 16, "AKIA", "ASIA"),
		shaped("gcp-key", base64url, 30, "AIza"),
		shaped("gcp-token", base64url.with("."), 16, "ya29."),
		shaped("gcp-key", base64url, 20, "GOCSPX-"),
		shaped("github-token", alnum.with("_"), 16, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
		shaped("gitlab-token", base64url, 16, "glpat-", "gldt-", "glrt-", "glcbt-"),
		shaped("slack-token", base64url, 10, "xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
		{name: "webhook", anchors: []string{"hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/",
			"webhook.office.com/webhookb2/", "discord.com/api/webhooks/"}, find: findWebhook},
		shaped("npm-token", alnum, 30, "npm_"),
		shaped("pypi-token", base64url, 32, "pypi-AgE"),
		shaped("vault-token", base64url, 20, "hvs.", "hvb.", "hvr."),
		shaped("stripe-key", alnum, 16, "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
		shaped("llm-key", base64url, 20, "sk-ant-", "sk-proj-"),
		shaped("sendgrid-key", base64url.with("."), 40, "SG."),
		shaped("databricks-token", hexLower.with("-"), 32, "dapi"),
		shaped("age-key", upperNum, 40, "AGE-SECRET-KEY-1"),
		shaped("password-hash", alnum.with("./$=,+"), 20, "$1$", "$5$", "$6$", "$y$", "$2a$", "$2b$", "$2y$", "$apr1$", "$argon2i", "{SSHA}"),
	}
}

func namesOf(rules []*rule) map[string]bool {
	names := map[string]bool{}
	for _, r := range rules {
		names[r.name] = true
	}
	return names
}
