// Package redact takes secrets out of a stream of text before it is stored.
//
// Every byte of a bundle passes through a [Writer]. It copies text unchanged except for secrets, and puts a
// pseudonym in the place of each:
//
//	{"user":"app","password":"REDACTED-password-1f3a9c0b2d"}
//
// # Concepts
//
// An anchor is a literal that announces a secret: "password", "sig=", "eyJ", "-BEGIN ". The text is searched for all
// anchors at once, in one pass, and nothing else is looked at; that makes text without secrets fast.
// At an anchor a finder reads a little text on both sides and decides whether a secret begins, and where.
// The secret's body then knows, byte by byte, where the secret ends; it has no greatest length.
// The table in rules.go joins the three: a new shape of secret is one entry there and one case in testdata/mask.txt.
//
// A pseudonym is "REDACTED-", the name of the rule and ten hexadecimal digits. The digits are a keyed hash of the
// secret's bytes: within one [Redactor] equal secrets have equal digits, so a reader can still see that two programs
// used the same token, and without the key the digits tell nothing. A pseudonym is safe inside JSON, YAML, URLs and shell lines.
// Text that has the exact shape of a pseudonym, with the name of a known rule, is left as it is: redacting twice
// changes nothing. Anything else that begins with "REDACTED-" is text like any other.
//
// # Guarantee
//
// What a Writer gives out depends on the bytes it was given, never on how they were split into calls of Write.
// A Writer uses a fixed amount of memory (about 128 KiB, with user rules 192 KiB), whatever the length of lines and of
// secrets. It fails closed: text that has not been examined is not written, neither after an error of the
// underlying writer, nor after a panic, and a value that is too long to be judged is masked.
//
// # What is kept
//
// A value is kept when it tells nothing (true, null, ***, one character, up to three digits), is a reference
// ($(NAME), ${NAME}), begins with a word of an error message ("token: expired"), or, except for passwords, is a path
// below a well-known folder. Names count only when they end in the keyword, so secretName, tokenreviews and
// --token-auth-file are plain text. In doubt a value is masked. testdata/keep.txt has the cases.
//
// # Limits
//
// A secret is recognised by its shape or by the name before it. These are not recognised:
//   - free text ("the password is hunter2"), and words of a passphrase after the first one when the passphrase is
//     neither quoted nor the whole rest of a line after "key: " or "key = ";
//   - values without a telling name or shape: the data of a Secret object under other names, the payload of a base64
//     blob, user:password without a scheme, a file that holds nothing but a password;
//   - a value that comes before its name: {"value":"x","name":"TOKEN"};
//   - text in another encoding: compressed, UTF-16, byte arrays, HTML entities for quotes;
//   - the rest of a quoted value after a line break, when the next line is not indented and the closing quote is over 256 bytes away;
//   - a name that the container runtime cut in two when it split a long line, and a value that it cut in Docker's
//     json-file format (in that of the CRI it is followed);
//   - a private key without its BEGIN line, other than at the start of a stream, or the rest of one after 16 KiB of other text.
//
// # User rules
//
// User rules are regular expressions, see [ParseRules]. They run on the raw text before the built-in rules, line by
// line. A line over 32 KiB is examined in windows of that size which overlap by 4 KiB: a match of up to 4 KiB is found
// wherever it lies, a longer one may be masked in part, and ^ and $ match at the edges of a window too. A secret that
// reaches the end of a window is masked up to the next blank or quote. Of secrets that overlap all is masked.
package redact
