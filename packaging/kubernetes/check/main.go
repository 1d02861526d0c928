// Check reads Kubernetes manifests as the API's own types, and refuses fields that these
// do not have, and references that lead nowhere. It is a module of its own: bt needs
// nothing of Kubernetes.
//
//	go run . ../*.yaml ../*.json
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func main() {
	failed := len(os.Args) < 2
	for _, path := range os.Args[1:] {
		data, err := os.ReadFile(path)
		if err == nil {
			err = checkFile(path, data)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
			continue
		}
		fmt.Println("ok:", path)
	}
	if failed {
		os.Exit(1)
	}
}

// checkFile checks the documents of a file. One in JSON is what "kubectl debug --custom"
// takes: a part of a container.
func checkFile(path string, data []byte) error {
	if filepath.Ext(path) == ".json" {
		return decode(data, new(corev1.Container))
	}
	n := 0
	for _, doc := range bytes.Split(data, []byte("\n---\n")) {
		if err := checkDocument(doc); err != nil {
			return fmt.Errorf("document %d: %w", n+1, err)
		}
		n++
	}
	return nil
}

// decode reads YAML or JSON as the API server does with strict validation: names of fields
// are as they are written.
func decode(data []byte, into any) error {
	j, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(j, into)
	return errors.Join(append(strict, err)...)
}

func checkDocument(doc []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Namespace":
		var ns corev1.Namespace
		return errors.Join(decode(doc, &ns), checkName(ns.Name))
	case "v1 Pod":
		var p corev1.Pod
		return errors.Join(decode(doc, &p), checkName(p.Name), checkPod(&p.Spec))
	case "apps/v1 DaemonSet":
		var d appsv1.DaemonSet
		if err := decode(doc, &d); err != nil {
			return err
		}
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err == nil && (selector.Empty() || !selector.Matches(labels.Set(d.Spec.Template.Labels))) {
			err = errors.New("the selector does not match the template's labels")
		}
		return errors.Join(err, checkName(d.Name), checkPod(&d.Spec.Template.Spec))
	}
	return fmt.Errorf("unknown: %s %s", kind.APIVersion, kind.Kind)
}

// dnsLabel is what names of objects and containers are (RFC 1123).
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func checkName(name string) error {
	if !dnsLabel.MatchString(name) {
		return fmt.Errorf("%q is no name", name)
	}
	return nil
}

// checkPod checks what the API server would refuse of a pod, as far as bt's use it.
func checkPod(p *corev1.PodSpec) error {
	volumes := make(map[string]bool)
	for _, v := range p.Volumes {
		volumes[v.Name] = true
	}
	var problems []error
	names := make(map[string]bool)
	for _, c := range p.Containers {
		problems = append(problems, checkName(c.Name))
		if names[c.Name] || c.Image == "" || strings.ContainsAny(c.Image, " \t") {
			problems = append(problems, fmt.Errorf("container %s: two of the name, or no image", c.Name))
		}
		names[c.Name] = true
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] || !filepath.IsAbs(m.MountPath) {
				problems = append(problems, fmt.Errorf("container %s: no volume for the mount %s", c.Name, m.Name))
			}
		}
		if s := c.SecurityContext; s != nil && s.Privileged != nil && *s.Privileged && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
			problems = append(problems, fmt.Errorf("container %s: privileged without privilege escalation", c.Name))
		}
	}
	if len(p.Containers) == 0 {
		problems = append(problems, errors.New("no containers"))
	}
	return errors.Join(problems...)
}
