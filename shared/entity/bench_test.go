package entity_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func BenchmarkProcess(b *testing.B) {
	kinds := entity.NewKinds(entity.Options{})
	inputs := map[string]schema.Object{
		"services": {"name": "s", "url": "http://example.com:8080/base", "tags": []any{"a", "b"}},
		"routes": {
			"name": "r", "paths": []any{"/a", "/b"}, "hosts": []any{"a.example", "*.b.example"}, "methods": []any{"GET"},
			"service": schema.Object{"id": "00000001-0000-4000-8000-000000000001"},
		},
		"upstreams": {"name": "u"},
	}
	for kind, in := range inputs {
		s := kinds.ByKind(kind).Schema
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Process(in, schema.Insert, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		out, err := s.Process(in, schema.Insert, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Encode(out); err != nil {
					b.Fatal(err)
				}
			}
		})
		data, _ := s.Encode(out)
		b.Run(kind+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(kind+"/read", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Read(out)
			}
		})
	}
}
