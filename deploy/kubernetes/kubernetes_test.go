package kubernetes

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sluice-gateway/sluice/shared/settings"
)

const (
	controlPlane = "sluice-controlplane"
	dataPlane    = "sluice-dataplane"
	nameLabel    = "app.kubernetes.io/name"
)

// build returns what `kubectl kustomize base` prints.
func build(t *testing.T) []byte {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does
	result, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), "base")
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// decoder is strict: an unknown or doubled field is an error.
func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// objects decodes all documents of a text.
func objects(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	decoder := decoder(t)
	var out []runtime.Object
	for documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text))); ; {
		document := make([]byte, 1<<20)
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(document[:n], nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document[:n])
		}
		out = append(out, object)
	}
}

// only returns the object of a type and name.
func only[T runtime.Object](t *testing.T, all []runtime.Object, name string) T {
	t.Helper()
	for _, o := range all {
		if typed, ok := o.(T); ok && o.(interface{ GetName() string }).GetName() == name {
			return typed
		}
	}
	var none T
	t.Fatalf("there is no %T %s", none, name)
	return none
}

type workload struct {
	name string
	pod  corev1.PodTemplateSpec
}

func workloads(t *testing.T, all []runtime.Object) []workload {
	return []workload{
		{controlPlane, only[*appsv1.StatefulSet](t, all, controlPlane).Spec.Template},
		{dataPlane, only[*appsv1.Deployment](t, all, dataPlane).Spec.Template},
	}
}

func TestDecodesStrictly(t *testing.T) {
	all := objects(t, build(t))
	if len(all) != 14 {
		t.Errorf("%d objects, want 14", len(all))
	}
	// The test must be able to fail.
	_, deployment, _ := bytes.Cut(build(t), []byte("apiVersion: apps/v1\nkind: Deployment\n"))
	deployment, _, _ = bytes.Cut(append([]byte("apiVersion: apps/v1\nkind: Deployment\n"), deployment...), []byte("\n---\n"))
	wrong := bytes.Replace(deployment, []byte("maxUnavailable"), []byte("maxUnavailabel"), 1)
	for text, good := range map[string]bool{string(deployment): true, string(wrong): false} {
		if _, _, err := decoder(t).Decode([]byte(text), nil, nil); (err == nil) != good || !good && !strings.Contains(err.Error(), "maxUnavailabel") {
			t.Errorf("decoding, which should work: %v: %v", good, err)
		}
	}
}

// The kubectl that is there builds the same.
func TestKubectl(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Log("kubectl is not here; its own library has built the base in the other tests")
		return
	}
	out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", "base").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, build(t)) {
		t.Error("kubectl kustomize builds something else than its library")
	}
}

func TestPods(t *testing.T) {
	all := objects(t, build(t))
	version := makeVersion(t)
	for _, w := range workloads(t, all) {
		t.Run(w.name, func(t *testing.T) {
			spec := w.pod.Spec
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken || spec.ServiceAccountName == "" || spec.ServiceAccountName == "default" {
				t.Error("pods get a token of the cluster's API")
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Error("variables of all services are in the environment")
			}
			c := spec.SecurityContext
			if c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || c.RunAsUser == nil || *c.RunAsUser != 65532 || c.FSGroup == nil || *c.FSGroup != 65532 ||
				c.SeccompProfile == nil || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("securityContext is %+v", c)
			}
			if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 {
				t.Fatal("not one container")
			}
			container := spec.Containers[0]
			if want := strings.Replace(w.name, "-", "/", 1) + ":" + version; container.Image != want {
				t.Errorf("image %s, want %s, which make images builds", container.Image, want)
			}
			s := container.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 || s.Privileged != nil && *s.Privileged {
				t.Errorf("securityContext of the container is %+v", s)
			}
			r := container.Resources
			if r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
				t.Errorf("resources are %+v", r)
			}
			for name, probe := range map[string]*corev1.Probe{"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe} {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.StrVal != "status" {
					t.Errorf("%s probe is %+v", name, probe)
					continue
				}
				if ready := probe.HTTPGet.Path == "/status/ready"; name == "liveness" && ready || name == "readiness" && !ready {
					t.Errorf("%s probe asks %s", name, probe.HTTPGet.Path)
				}
			}
			for _, v := range spec.Volumes {
				if v.HostPath != nil {
					t.Errorf("volume %s is the machine's own", v.Name)
				}
			}
			if spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Error("pods share namespaces with the machine")
			}
		})
	}
}

func makeVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^VERSION \?= (\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("Makefile has no VERSION")
	}
	return string(found[1])
}

// What selects pods selects those that there are, and ports have the names that others use.
func TestSelectors(t *testing.T) {
	all := objects(t, build(t))
	pods := map[string]workload{}
	for _, w := range workloads(t, all) {
		pods[w.name] = w
	}
	find := func(what string, selector map[string]string) *workload {
		t.Helper()
		for _, w := range pods {
			if len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(w.pod.Labels)) {
				return &w
			}
		}
		t.Errorf("%s selects no pods: %v", what, selector)
		return nil
	}
	hasPort := func(w *workload, name string) bool {
		return slices.ContainsFunc(w.pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
	}
	for _, o := range all {
		switch o := o.(type) {
		case *corev1.Service:
			w := find("service "+o.Name, o.Spec.Selector)
			for _, p := range o.Spec.Ports {
				if w != nil && !hasPort(w, p.TargetPort.StrVal) {
					t.Errorf("service %s: %s has no port %s", o.Name, w.name, p.TargetPort.String())
				}
			}
		case *networkingv1.NetworkPolicy:
			w := find("policy "+o.Name, o.Spec.PodSelector.MatchLabels)
			for _, rule := range o.Spec.Ingress {
				if len(rule.Ports) == 0 {
					t.Errorf("policy %s opens all ports", o.Name)
				}
				for _, p := range rule.Ports {
					if w != nil && !hasPort(w, p.Port.StrVal) {
						t.Errorf("policy %s: %s has no port %s", o.Name, w.name, p.Port)
					}
				}
			}
		case *policyv1.PodDisruptionBudget:
			if w := find("budget "+o.Name, o.Spec.Selector.MatchLabels); w != nil && w.name != dataPlane {
				t.Errorf("budget %s is for %s", o.Name, w.name)
			}
		}
	}
	for _, name := range []string{controlPlane, dataPlane} {
		only[*networkingv1.NetworkPolicy](t, all, name)
	}
	// Only data planes may reach the stream, and the Admin API is not for everybody.
	for _, rule := range only[*networkingv1.NetworkPolicy](t, all, controlPlane).Spec.Ingress {
		if len(rule.From) == 0 {
			t.Errorf("everybody reaches %v of the control plane", rule.Ports)
		}
	}
}

func TestControlPlane(t *testing.T) {
	all := objects(t, build(t))
	set := only[*appsv1.StatefulSet](t, all, controlPlane)
	if set.Spec.Replicas == nil || *set.Spec.Replicas != 1 {
		t.Error("the store is one control plane's")
	}
	if len(set.Spec.VolumeClaimTemplates) != 1 {
		t.Fatal("no volume for the store")
	}
	claim := set.Spec.VolumeClaimTemplates[0]
	mounted := slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == claim.Name && m.MountPath == "/var/lib/sluice"
	})
	if !mounted {
		t.Error("the volume is not where the store is")
	}
	only[*corev1.Service](t, all, set.Spec.ServiceName)
}

func TestDataPlane(t *testing.T) {
	all := objects(t, build(t))
	deployment := only[*appsv1.Deployment](t, all, dataPlane)
	if deployment.Spec.Replicas != nil {
		t.Error("the number of pods is set and autoscaled")
	}
	if rolling := deployment.Spec.Strategy.RollingUpdate; rolling == nil || rolling.MaxUnavailable.IntValue() != 0 {
		t.Error("an upgrade takes nodes away before others are there")
	}
	pod := deployment.Spec.Template.Spec
	keys := map[string]bool{}
	for _, c := range pod.TopologySpreadConstraints {
		keys[c.TopologyKey] = true
		if !labels.SelectorFromSet(c.LabelSelector.MatchLabels).Matches(labels.Set(deployment.Spec.Template.Labels)) {
			t.Errorf("%s spreads other pods", c.TopologyKey)
		}
	}
	if !keys["topology.kubernetes.io/zone"] || !keys["kubernetes.io/hostname"] {
		t.Errorf("spread over %v", keys)
	}
	hook := pod.Containers[0].Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.Exec == nil || !slices.Equal(hook.PreStop.Exec.Command, []string{"sluice", "drain", "15"}) {
		t.Fatalf("preStop is %+v", hook)
	}
	// 15 s of draining, and 10 s that the program gives requests.
	if grace := pod.TerminationGracePeriodSeconds; grace == nil || *grace < 15+10+5 {
		t.Errorf("grace period %v is too short for draining", grace)
	}
	scaler := only[*autoscalingv2.HorizontalPodAutoscaler](t, all, dataPlane)
	if ref := scaler.Spec.ScaleTargetRef; ref.Kind != "Deployment" || ref.Name != deployment.Name || scaler.Spec.MinReplicas == nil || *scaler.Spec.MinReplicas < 2 {
		t.Errorf("the autoscaler is %+v", scaler.Spec)
	}
	only[*policyv1.PodDisruptionBudget](t, all, dataPlane)
}

// The settings in the config maps are settings, and agree with ports and mounts.
func TestSettings(t *testing.T) {
	all := objects(t, build(t))
	planes := map[string]settings.Plane{controlPlane: settings.ControlPlane, dataPlane: settings.DataPlane}
	for _, w := range workloads(t, all) {
		container := w.pod.Spec.Containers[0]
		config := only[*corev1.ConfigMap](t, all, container.EnvFrom[0].ConfigMapRef.Name)
		var environ []string
		for name, value := range config.Data {
			environ = append(environ, name+"="+value)
		}
		s, err := settings.Load(settings.Options{Plane: planes[w.name], Environ: environ, Files: []string{}})
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
			continue
		}
		if len(s.Warnings()) > 0 {
			t.Errorf("%s: %v", w.name, s.Warnings())
		}
		listens := map[string][]string{
			controlPlane: {"admin_listen", "cluster_listen", "status_listen"}, dataPlane: {"proxy_listen", "status_listen"},
		}
		open := map[int32]bool{}
		for _, key := range listens[w.name] {
			for _, l := range s.Listeners(key) {
				open[int32(l.Port)] = true //nolint:gosec // a port
				if l.IP != "0.0.0.0" {
					t.Errorf("%s: %s listens on %s only", w.name, key, l.IP)
				}
			}
		}
		for _, p := range container.Ports {
			if !open[p.ContainerPort] {
				t.Errorf("%s: nobody listens on %s, %d", w.name, p.Name, p.ContainerPort)
			}
		}
		if w.name == dataPlane {
			host, port, _ := strings.Cut(s.String("cluster_control_plane"), ":")
			if service := only[*corev1.Service](t, all, host); strconv.Itoa(int(service.Spec.Ports[0].Port)) != port {
				t.Errorf("service %s has no port %s", host, port)
			}
		}
		if w.name == controlPlane && !s.Bool("enforce_rbac") {
			t.Error("everybody who reaches the Admin API may change the configuration")
		}
		limit := container.Resources.Limits.Memory().Value()
		soft, err := resource.ParseQuantity(strings.TrimSuffix(config.Data["GOMEMLIMIT"], "B"))
		if n := soft.Value(); err != nil || n >= limit || n < limit*8/10 {
			t.Errorf("%s: GOMEMLIMIT %s does not go with the limit %d", w.name, config.Data["GOMEMLIMIT"], limit)
		}
	}
}

// No secret is in the files.
func TestNothingSecret(t *testing.T) {
	for _, o := range objects(t, build(t)) {
		if s, ok := o.(*corev1.Secret); ok {
			t.Errorf("secret %s is in the files", s.Name)
		}
	}
}
