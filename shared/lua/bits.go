package lua

import (
	"fmt"
	"math"
	"math/bits"

	glua "github.com/yuin/gopher-lua"
)

// bitLibrary is bit: numbers as 32 bits with sign.
func bitLibrary() map[string]glua.LGFunction {
	fold := func(op func(a, b uint32) uint32) glua.LGFunction {
		return func(l *glua.LState) int {
			v := bitsOf(l, 1)
			for i := 2; i <= l.GetTop(); i++ {
				v = op(v, bitsOf(l, i))
			}
			return giveBits(l, v)
		}
	}
	shift := func(op func(v uint32, n uint) uint32) glua.LGFunction {
		return func(l *glua.LState) int { return giveBits(l, op(bitsOf(l, 1), uint(bitsOf(l, 2)&31))) }
	}
	return map[string]glua.LGFunction{
		"band":    fold(func(a, b uint32) uint32 { return a & b }),
		"bor":     fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":    fold(func(a, b uint32) uint32 { return a ^ b }),
		"bnot":    func(l *glua.LState) int { return giveBits(l, ^bitsOf(l, 1)) },
		"tobit":   func(l *glua.LState) int { return giveBits(l, bitsOf(l, 1)) },
		"bswap":   func(l *glua.LState) int { return giveBits(l, bits.ReverseBytes32(bitsOf(l, 1))) },
		"lshift":  shift(func(v uint32, n uint) uint32 { return v << n }),
		"rshift":  shift(func(v uint32, n uint) uint32 { return v >> n }),
		"arshift": shift(func(v uint32, n uint) uint32 { return uint32(int32(v) >> n) }),
		"rol":     shift(func(v uint32, n uint) uint32 { return bits.RotateLeft32(v, int(n)) }),
		"ror":     shift(func(v uint32, n uint) uint32 { return bits.RotateLeft32(v, -int(n)) }),
		"tohex": func(l *glua.LState) int {
			n := l.OptInt(2, 8)
			verb := "%0*x"
			if n < 0 {
				n, verb = -n, "%0*X"
			}
			n = min(n, 8)
			return give(l, fmt.Sprintf(verb, n, uint64(bitsOf(l, 1))&(1<<(4*n)-1)))
		},
	}
}

func bitsOf(l *glua.LState, n int) uint32 {
	f := math.Mod(math.Round(float64(l.CheckNumber(n))), 1<<32)
	return uint32(int64(f))
}

func giveBits(l *glua.LState, v uint32) int {
	l.Push(glua.LNumber(int32(v)))
	return 1
}
