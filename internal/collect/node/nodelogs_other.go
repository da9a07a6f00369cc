//go:build !linux

package node

import "io/fs"

func nodelogsIdentity(path string, _ fs.FileInfo) any { return path }

func nodelogsLinks(fs.FileInfo) int { return 1 }

func nodelogsOwner(fs.FileInfo) (uid, gid uint32, ok bool) { return 0, 0, false }
