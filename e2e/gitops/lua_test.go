package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Runs a script with what Argo CD gives to scripts from its ConfigMap, and no more: the global `obj`, the libraries base, package and table,
// and of os only the clock; within one second. Argo CD's own package cannot be had alone: it takes its parts from its own repository by
// relative paths.
func run(t *testing.T, script string, object map[string]any) any {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}, {lua.OsLibName, openClock},
	}
	for _, library := range libraries {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			t.Fatal(err)
		}
	}
	limit, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	return fromLua(state.Get(-1))
}

// The library os without what would leave the script.
func openClock(state *lua.LState) int {
	lua.OpenOs(state)
	whole := state.Get(-1).(*lua.LTable)
	safe := state.NewTable()
	for _, name := range []string{"time", "date"} {
		safe.RawSetString(name, whole.RawGetString(name))
	}
	state.SetGlobal(lua.OsLibName, safe)
	loaded := state.GetField(state.GetGlobal("package"), "loaded")
	state.SetField(loaded, lua.OsLibName, safe)
	state.Push(safe)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, one := range value {
			table.Append(toLua(state, one))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, one := range value {
			table.RawSetString(key, toLua(state, one))
		}
		return table
	default:
		panic(fmt.Sprintf("a %T has no place in an object", value))
	}
}

// An empty table comes back as an empty list, as it does in Argo CD.
func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LString:
		return string(value)
	case lua.LNumber:
		if value == lua.LNumber(int64(value)) {
			return int64(value)
		}
		return float64(value)
	case *lua.LTable:
		if value.RawGetInt(1) != lua.LNil || isEmpty(value) {
			list := []any{}
			for at := 1; at <= value.Len(); at++ {
				list = append(list, fromLua(value.RawGetInt(at)))
			}
			return list
		}
		table := map[string]any{}
		value.ForEach(func(key, one lua.LValue) { table[key.String()] = fromLua(one) })
		return table
	default:
		return nil
	}
}

func isEmpty(table *lua.LTable) bool {
	key, _ := table.Next(lua.LNil)
	return key == lua.LNil
}

// As JSON, for a comparison that knows neither int64 nor float64.
func plain(t *testing.T, value any) string {
	t.Helper()
	written, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(written)
}
