package settings

import (
	"errors"
	"fmt"
	"strings"
)

// dereference resolves a value that is a reference to the env vault, which Kong
// allows for every setting: {vault://env/my-variable} is the value of MY_VARIABLE.
func dereference(text string, environ []string) (string, error) {
	inner, ok := strings.CutPrefix(text, "{vault://")
	if !ok {
		return text, nil
	}
	inner, closed := strings.CutSuffix(inner, "}")
	vault, name, found := strings.Cut(inner, "/")
	if !closed || !found || name == "" {
		return "", errors.New("is not of the form {vault://env/name}")
	}
	if vault != "env" {
		return "", fmt.Errorf("vault %q can not be used for settings, only env", vault)
	}
	name = strings.ToUpper(strings.NewReplacer("-", "_", "/", "_").Replace(name))
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("the environment has no %s", name)
}
